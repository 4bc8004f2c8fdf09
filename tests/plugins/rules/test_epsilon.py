"""LRP-epsilon against its formula on dense matrices."""

from __future__ import annotations

import pytest
import torch

from backlight import rule
from dense import LAYERS, check, every_layer, quiet, relevance
from formulas import epsilon as formula


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("epsilon"), formula, case, bias, sign)


@every_layer
def test_without_bias(case, bias, sign):
    chosen = rule("epsilon", zero_params=("bias",), epsilon=1e-3)
    check(chosen, lambda x, w, b, r: formula(x, w, 0 * b, r, 1e-3), case, bias, sign)


@quiet
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.name)
def test_zero_weight_returns_nothing(case):
    torch.manual_seed(0)
    layer = case.make(True).double()
    x = torch.randn(2, *case.shape, dtype=torch.float64)
    assert not relevance(layer, x, rule("epsilon", zero_params=("weight",)), torch.ones_like(layer(x))).any()
