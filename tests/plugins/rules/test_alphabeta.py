"""LRP alpha-beta against its formula on dense matrices."""

from __future__ import annotations

import pytest
import torch

from backlight import rule
from backlight.core.errors import PluginError
from dense import LAYERS, check, every_layer, quiet, relevance
from formulas import alphabeta as formula


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("alpha-beta"), formula, case, bias, sign)


@every_layer
def test_without_bias(case, bias, sign):
    dense = lambda x, w, b, r: formula(x, w, 0 * b, r, 1.5, 0.5)  # noqa: E731
    check(rule("alpha-beta", alpha=1.5, beta=0.5, zero_params=("bias",)), dense, case, bias, sign)


@quiet
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: c.name)
@pytest.mark.parametrize("positive", [True, False])
def test_alpha_one_is_z_plus(case, positive):
    torch.manual_seed(1)
    layer = case.make(True).double()
    x = torch.randn(2, *case.shape, dtype=torch.float64)
    x = x.abs() if positive else x
    given = torch.randn_like(layer(x))
    found = relevance(layer, x, rule("alpha-beta", alpha=1.0, beta=0.0), given)
    torch.testing.assert_close(found, relevance(layer, x, rule("z-plus"), given), rtol=0, atol=0)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (0.5, -0.5), (1.0, 1.0)])
def test_weights_must_differ_by_one_and_not_be_negative(alpha, beta):
    with pytest.raises(PluginError, match=rf"alpha is {alpha} and beta {beta}, expected alpha - beta = 1"):
        rule("alpha-beta", alpha=alpha, beta=beta)
