"""Every preset on a small network, against rules applied by hand to its layers as dense matrices."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import formulas
from backlight import attribute, composite
from backlight.core.errors import RequestError
from dense import matrix, st


class Net(nn.Module):
    """Layers registered in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.second = nn.Conv2d(4, 6, 3)
        self.middle = nn.Linear(6, 6)
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        h = F.max_pool2d(F.relu(self.first(x)), 2)
        h = F.relu(self.second(h))
        h = F.relu(self.middle(h.mean((2, 3))))
        return self.head(h)


BOUNDS = {"low": -4.0, "high": 5.0}
box = lambda x, w, b, r: formulas.box(x, w, b, r, torch.full_like(x, -4.0), torch.full_like(x, 5.0))  # noqa: E731
unbiased = lambda x, w, b, r: formulas.zplus(x, w, 0 * b, r)  # noqa: E731
# preset -> parameters, formulas of first and second convolution and of the dense layers
PRESETS = {
    "epsilon-plus": ({}, formulas.zplus, formulas.zplus, formulas.epsilon),
    "epsilon-plus-flat": ({}, formulas.flat, formulas.zplus, formulas.epsilon),
    "epsilon-gamma-box": (BOUNDS, box, formulas.gamma, formulas.epsilon),
    "epsilon-alpha2-beta1": ({}, formulas.alphabeta, formulas.alphabeta, formulas.epsilon),
    "epsilon-alpha2-beta1-flat": ({}, formulas.flat, formulas.alphabeta, formulas.epsilon),
    "excitation-backprop": ({}, *[formulas.zplus] * 3),
    "epsilon": ({"epsilon": 1e-3}, *[partial(formulas.epsilon, epsilon=1e-3)] * 3),
    "alpha-beta": ({"alpha": 1.5, "beta": 0.5}, *[partial(formulas.alphabeta, alpha=1.5, beta=0.5)] * 3),
    "w-square": ({}, *[formulas.wsquare] * 3),
}


def by_hand(model, x, target, first, second, dense, epsilon=1e-6):
    with torch.no_grad():
        a = model.first(x)
        pooled, winners = F.max_pool2d(a.relu(), 2, return_indices=True)
        b = model.second(pooled)
        means = b.relu().mean((2, 3))
        c = model.middle(means)
        out = model.head(c.relu())
        r = F.one_hot(torch.tensor([target] * len(x)), 4) * out
        r = dense(c.relu(), *matrix(model.head, (6,)), r)
        r = dense(means, *matrix(model.middle, (6,)), r)
        share = (r / st(means, epsilon))[:, :, None, None] / b[0, 0].numel()
        r = b.relu() * share
        r = second(pooled.flatten(1), *matrix(model.second, pooled.shape[1:]), r.flatten(1))
        r = F.max_unpool2d(r.reshape(pooled.shape), winners, 2)
        return first(x.flatten(1), *matrix(model.first, x.shape[1:]), r.flatten(1)).reshape(x.shape)


@pytest.mark.parametrize("name", PRESETS)
def test_equals_rules_applied_by_hand(name):
    torch.manual_seed(0)
    parameters, *rules = PRESETS[name]
    model, x = Net().double(), torch.rand(3, 3, 8, 8, dtype=torch.float64) * 9 - 4
    found = attribute(model, x, 2, composite=composite(name, **parameters), strict=True)
    expected = by_hand(model, x, 2, *rules, parameters.get("epsilon", 1e-6))  # sums and pools have it too
    torch.testing.assert_close(found.relevance, expected, rtol=1e-9, atol=1e-12)
    assert expected.any()


def test_excitation_backprop_without_bias_conserves():
    torch.manual_seed(0)
    model, x = Net().double(), torch.rand(3, 3, 8, 8, dtype=torch.float64) * 9 - 4
    source = composite("excitation-backprop", zero_params=("bias",))
    found = attribute(model, x, 2, composite=source)
    torch.testing.assert_close(found.relevance, by_hand(model, x, 2, *[unbiased] * 3), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.relevance.sum((1, 2, 3)), found.output[:, 2], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", [*PRESETS, "attn-lrp", "cp-lrp", "z-plus", "gamma"])
def test_epsilon_and_stabiliser_reach_every_rule_that_divides(name):
    built = composite(name, epsilon=0.125, stabiliser="norm")
    rules = [entry.build() for entry in built.entries]
    divide = [rule for rule in rules if hasattr(rule, "epsilon")]
    assert len(divide) >= len(rules) / 2
    assert {rule.epsilon for rule in divide} == {0.125}
    assert {rule.stabiliser for rule in divide} == {"norm"}
    torch.manual_seed(0)
    model, x = Net().double(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    found = attribute(model, x, 2, composite=built).relevance
    plain = attribute(model, x, 2, composite=composite(name, epsilon=0.125)).relevance
    assert not torch.allclose(found, plain)


@pytest.mark.parametrize("name", ["epsilon-plus", "epsilon"])
def test_an_unknown_stabiliser_is_named(name):
    with pytest.raises(RequestError, match="unknown stabiliser 'sing'; did you mean 'sign'"):
        composite(name, stabiliser="sing")


@pytest.mark.parametrize("name", PRESETS)
def test_is_data(name):
    original = composite(name, **PRESETS[name][0])
    assert composite(json.loads(json.dumps(original.to_dict()))) == original
    assert hash(original) == hash(composite(name, **PRESETS[name][0]))


@pytest.mark.parametrize("name", ["deconvnet", "guided-backprop", "beta-smooth"])
def test_modified_gradients_are_data_too(name):
    original = composite(name)
    assert original.start == "slope"
    assert composite(json.loads(json.dumps(original.to_dict()))) == original


def test_bounds_may_be_given_per_channel():
    torch.manual_seed(0)
    model, x = Net().double(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    low, high = [-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]
    found = attribute(model, x, 1, composite=composite("epsilon-gamma-box", low=low, high=high)).relevance
    spread = [torch.tensor(v, dtype=x.dtype).repeat_interleave(64).expand(2, 192) for v in (low, high)]
    first = lambda x, w, b, r: formulas.box(x, w, b, r, *spread)  # noqa: E731
    expected = by_hand(model, x, 1, first, formulas.gamma, formulas.epsilon)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
