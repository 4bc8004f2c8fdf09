"""Generalised LRP-gamma against its formula on dense matrices, and its limit for gamma = 0."""

from __future__ import annotations

import pytest
import torch

from backlight import rule
from dense import LAYERS, check, every_layer, quiet, relevance
from formulas import gamma as formula


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("gamma"), formula, case, bias, sign)


@every_layer
def test_other_parameters(case, bias, sign):
    check(
        rule("gamma", gamma=1.5, zero_params=("bias",)),
        lambda x, w, b, r: formula(x, w, 0 * b, r, 1.5), case, bias, sign,
    )  # fmt: skip


@quiet
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.name)
def test_no_gamma_is_epsilon(case):
    torch.manual_seed(1)
    layer = case.make(True).double()
    x = torch.randn(2, *case.shape, dtype=torch.float64)
    given = torch.randn_like(layer(x))
    found = relevance(layer, x, rule("gamma", gamma=0.0), given)
    torch.testing.assert_close(found, relevance(layer, x, rule("epsilon"), given), rtol=1e-9, atol=1e-12)


def test_an_output_of_exactly_zero_hands_nothing_back():
    layer = torch.nn.Linear(2, 1, bias=False).double()
    layer.weight.data = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    x = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    assert not relevance(layer, x, rule("gamma"), torch.ones(1, 1, dtype=torch.float64)).any()
