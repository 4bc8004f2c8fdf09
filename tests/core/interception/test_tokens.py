"""Token models: whole numbers are explained by the embeddings that the model looks up for them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backlight import attribute, composite
from backlight.core.errors import EngineError, RequestError


class Reader(nn.Module):
    """Tokens (N, L) -> classes (N, 3): embedding, position, an encoder layer, mean, dense layer."""

    def __init__(self):
        super().__init__()
        self.table, self.place = nn.Embedding(11, 6, padding_idx=0), nn.Embedding(5, 6)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens):
        return self.read(self.table(tokens.clamp(max=10)), tokens == 0)

    def read(self, embedded, hidden):
        place = self.place(torch.arange(embedded.shape[1]))
        h = self.encoder(embedded + place, src_key_padding_mask=hidden)
        return self.head(h.mean(1))


class Embedded(nn.Module):
    def __init__(self, reader, hidden):
        super().__init__()
        self.reader, self.hidden = reader, hidden

    def forward(self, embedded):
        return self.reader.read(embedded, self.hidden)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return Reader().double().eval()


TOKENS = torch.tensor([[3, 7, 7, 1, 0], [10, 2, 5, 4, 9]])


@pytest.mark.parametrize("by", ["epsilon", "attn-lrp", "epsilon-plus", None])
@pytest.mark.parametrize("target", [1, [0, 2]])
def test_tokens_have_the_relevance_of_their_embeddings(reader, by, target):
    found = attribute(reader, TOKENS, target, composite=by, layers=["table", "encoder"])
    embedded = reader.table(TOKENS).detach()
    expected = attribute(Embedded(reader, TOKENS == 0), embedded, target, composite=by)
    torch.testing.assert_close(found.output, expected.output)
    torch.testing.assert_close(found.relevance, expected.relevance.sum(-1))
    torch.testing.assert_close(found.layers["table"], expected.relevance)
    assert found.relevance.shape == (2, *(() if target == 1 else (2,)), 5)
    assert found.layers["encoder"].any()
    if by is not None:
        names = [(c.site.name, c.treatment) for c in found.coverage.operations]
        assert names.count(("embedding", "routed")) == 1  # positions are constants
        assert found.audit().returned == pytest.approx(float(found.relevance.sum()))


def test_several_whole_number_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(9, 4), nn.Linear(4, 2, bias=False)

        def forward(self, question, answer, unused):
            both = self.table(question).sum(1) + self.table(answer).sum(1) + self.table(question[:, :]).sum(1)
            return self.head(both)

    torch.manual_seed(0)
    model = Two().double()
    question, answer = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5]])
    inputs = {"question": question, "answer": answer, "unused": torch.tensor([[1]])}
    found = attribute(model, inputs, 0, composite=composite("epsilon", epsilon=1e-12)).relevance
    each = model.table.weight.detach() @ model.head.weight.detach()[0]
    torch.testing.assert_close(found["question"], 2 * each[question])
    torch.testing.assert_close(found["answer"], each[answer])
    assert not found["unused"].any()


def test_beside_a_picture_tokens_are_constants():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, x, tokens):
            return self.head(x * self.table(tokens))

    found = attribute(Both(), (torch.rand(2, 3), torch.tensor([1, 4])), [0, 1], composite="epsilon").relevance
    assert found[0].shape == (2, 2, 3)
    assert found[1].shape == (2, 2)
    assert not found[1].any()


def test_differentiable(reader):
    found = attribute(reader, TOKENS, 1, composite="epsilon", differentiable=True)
    plain = attribute(reader, TOKENS, 1, composite="epsilon")
    torch.testing.assert_close(found.relevance, plain.relevance)
    found.relevance.square().sum().backward()
    assert reader.table.weight.grad[7].any()


def test_mistakes_are_named(reader):
    class Turned(nn.Module):
        def forward(self, tokens):
            return reader(tokens.t())

    with pytest.raises(EngineError, match=r"input 0 of shape \(2, 5\) is looked up as \(5, 2\); give"):
        attribute(Turned(), TOKENS, 0, composite="epsilon")
    with pytest.raises(EngineError, match="the model looks up no embedding of a whole-number one"):
        attribute(_Floats(), TOKENS, 0, composite="epsilon")


class _Floats(nn.Module):
    def forward(self, tokens):
        return tokens.float()


@pytest.mark.parametrize("method", ["input-x-gradient", "smooth-grad", "integrated-gradients"])
def test_methods_that_move_their_input_refuse_tokens(reader, method):
    with pytest.raises(RequestError, match=rf"{method} got torch.int64 inputs, expected floating-point"):
        attribute(reader, TOKENS, 0, method=method)


@pytest.mark.parametrize("method", ["occlusion", "rise", "grad-cam"])
def test_methods_for_pictures_refuse_tokens(reader, method):
    with pytest.raises(RequestError, match=rf"{method} "):
        attribute(reader, TOKENS, 0, method=method)
