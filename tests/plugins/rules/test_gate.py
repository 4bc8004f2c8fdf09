"""Signal takes all: who counts as a gate, and what it costs in relevance."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import composite
from backlight.core.composite import Entry, Match
from explained import explain, rand

GATED = {
    "sigmoid": lambda s, g: s * torch.sigmoid(g),
    "sigmoid-first": lambda s, g: g.sigmoid() * s,
    "hardsigmoid": lambda s, g: s * F.hardsigmoid(g),
    "softmax": lambda s, g: s * g.softmax(-1),
    "complement": lambda s, g: (1 - torch.sigmoid(g)) * s,
    "viewed": lambda s, g: s * torch.sigmoid(g).unsqueeze(0).squeeze(0).to(torch.float64).contiguous(),
    "scaled": lambda s, g: s * (2 * torch.sigmoid(g)),
    "quotient": lambda s, g: s / (g.square() + 1),
    "norm": lambda s, g: s * g.norm(dim=-1, keepdim=True),
    "in-place": lambda s, g: s.clone().mul_(torch.sigmoid(g)),
    "broadcast": lambda s, g: s * g[:, :1],
}


@pytest.mark.parametrize("function", GATED.values(), ids=GATED)
def test_the_signal_takes_all(function):
    torch.manual_seed(0)
    found = explain(function, rand(3, 4), rand(3, 4))
    found.assert_faithful()
    torch.testing.assert_close(found.relevance[0], found.given)
    assert not found.relevance[1].any()


def test_without_a_gate_each_factor_gets_half():
    torch.manual_seed(0)
    found = explain(lambda a, b: a * b, rand(3, 4), rand(3, 4))
    for relevance in found.relevance:
        torch.testing.assert_close(relevance, found.given / 2)


def test_two_gates_share():
    torch.manual_seed(0)
    found = explain(lambda a, b: a.sigmoid() * b.sigmoid(), rand(3, 4), rand(3, 4))
    for relevance in found.relevance:
        torch.testing.assert_close(relevance, found.given / 2)


def test_squeeze_and_excitation():
    torch.manual_seed(0)
    squeeze, excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze, self.excite = squeeze, excite

        def forward(self, x):
            return x * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))

    found = explain(Net().double(), rand(2, 4, 5, 5))
    torch.testing.assert_close(found.relevance[0], found.given)
    assert found.uncovered == []


def test_a_composite_may_share_evenly_instead():
    torch.manual_seed(0)
    halves = composite("epsilon").after(Entry.of("half", Match(kind="product")))
    found = explain(lambda a, b: a * b.sigmoid(), rand(3, 4), rand(3, 4), by=halves)
    torch.testing.assert_close(found.relevance[0], found.given / 2)


def test_glu_is_taken_apart():
    torch.manual_seed(0)
    x = rand(3, 8)
    found = explain(lambda x: F.glu(x, -1), x)
    found.assert_faithful()
    torch.testing.assert_close(found.relevance[0][:, :4], found.given)
    assert not found.relevance[0][:, 4:].any()
