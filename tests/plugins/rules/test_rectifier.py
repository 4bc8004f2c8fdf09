"""Modified gradients of ReLU against a network unrolled by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute, composite

MODIFIED = {
    "deconvnet": lambda x, r: r.clamp(min=0),
    "guided-backprop": lambda x, r: (x > 0) * (r > 0) * r,
    "beta-smooth": lambda x, r: r / (1 + torch.exp(-10 * x)),
}


class Net(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first, self.second, self.third = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.third(self.function(self.second(self.function(self.first(x)))).tanh())


@pytest.mark.parametrize("relu", [F.relu, torch.relu_, nn.ReLU(inplace=True), lambda x: x.relu()])
@pytest.mark.parametrize("name", MODIFIED)
def test_equals_the_chain_rule_by_hand(name, relu):
    torch.manual_seed(0)
    model, x = Net(relu).double(), torch.randn(4, 5, dtype=torch.float64)
    found = attribute(model, x, 1, composite=name).relevance
    one = model.first(x)
    two = model.second(one.relu())
    r = model.third.weight[1].expand(4, 6) * (1 - two.relu().tanh() ** 2)
    r = MODIFIED[name](two, r) @ model.second.weight
    r = MODIFIED[name](one, r) @ model.first.weight
    torch.testing.assert_close(found, r.detach(), rtol=1e-12, atol=1e-14)


def test_a_sharp_softplus_is_the_gradient():
    torch.manual_seed(0)
    model, x = Net(F.relu).double(), torch.randn(4, 5, dtype=torch.float64)
    found = attribute(model, x, 1, composite=composite("beta-smooth", beta=1e9)).relevance
    torch.testing.assert_close(found, attribute(model, x, 1).relevance, rtol=1e-12, atol=1e-14)


def test_they_start_from_the_slope_also_for_negative_outputs():
    torch.manual_seed(0)
    model, x = Net(F.relu).double(), torch.randn(4, 5, dtype=torch.float64)
    before = attribute(model, x, 1, composite="guided-backprop").relevance
    with torch.no_grad():
        model.third.bias.sub_(100)
    assert torch.equal(attribute(model, x, 1, composite="guided-backprop").relevance, before)
