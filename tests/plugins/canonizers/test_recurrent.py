"""Recurrent layers taken apart compute what torch's do; one LSTM step against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from explained import explain, rand

KINDS = {
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
    "RNN-tanh": nn.RNN,
    "RNN-relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "free"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}],
                         ids=["plain", "deep"])  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_layers(kind, options, bias):
    layer = KINDS[kind](3, 4, bias=bias, dropout=0.0, **options).double()
    found = explain(_Output(layer), rand(2, 5, 3))
    found.assert_faithful()
    assert found.uncovered == []
    if not bias:
        found.assert_conserved(1e-2)


class _Output(nn.Module):
    def __init__(self, layer, final=False):
        super().__init__()
        self.layer, self.final = layer, final

    def forward(self, x):
        output, state = self.layer(x)
        state = state[0] if isinstance(state, tuple) else state
        return state if self.final else output


@pytest.mark.parametrize("kind", KINDS)
def test_final_state(kind):
    found = explain(_Output(KINDS[kind](3, 4, bidirectional=True).double(), final=True), rand(5, 2, 3))
    found.assert_faithful()
    assert found.relevance[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind):
    layer = KINDS[kind](3, 4, bidirectional=True, batch_first=True).double()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            packed = pack_padded_sequence(x, torch.tensor([5, 3, 1]), batch_first=True)
            return pad_packed_sequence(self.layer(packed)[0], batch_first=True)[0]

    found = explain(Net(), rand(3, 5, 3))
    found.assert_faithful()
    assert not found.relevance[0][1, 3:].any()
    assert not found.relevance[0][2, 1:].any()
    assert found.relevance[0][2, 0].any()


class _Cell(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        out = self.cell(x)
        return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(cell):
    found = explain(_Cell(cell(3, 4).double()), rand(2, 3))
    found.assert_faithful()
    assert found.uncovered == []


def test_one_step_equals_the_formula():
    cell = nn.LSTMCell(3, 4, bias=False).double()
    x, r, eps = rand(2, 3), rand(2, 4), 1e-6

    def share(value, out, relevance):  # value's part of the sum `out`
        return value * relevance / (out + torch.where(out < 0, -eps, eps))

    g = x @ cell.weight_ih.T[:, 8:12]
    i = torch.sigmoid(x @ cell.weight_ih.T[:, :4])
    candidate = torch.tanh(g) * i
    of_candidate = share(candidate, candidate, r)  # + f ⊙ c with c = 0
    of_g = share(g, g, of_candidate)  # + U·h with h = 0
    expected = x * ((of_g / (g + torch.where(g < 0, -eps, eps))) @ cell.weight_ih[8:12])
    found = explain(_Cell(cell), x, given=r)
    torch.testing.assert_close(found.relevance[0], expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["plain", "deep"])
def test_projections(options, bias):
    layer = nn.LSTM(3, 4, proj_size=2, bias=bias, **options).double()
    for final in (False, True):
        found = explain(_Output(layer, final), rand(5, 2, 3))
        found.assert_faithful()
        assert found.uncovered == []
        assert found.relevance[0].any()
    if not bias:
        explain(_Output(layer), rand(5, 2, 3)).assert_conserved(1e-2)
