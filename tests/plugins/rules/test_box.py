"""The box rule against its formula on dense matrices; bounds per channel and bounds that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backlight import rule
from backlight.core.errors import EngineError
from dense import check, every_layer, relevance
from formulas import box as formula


@every_layer
def test_equals_its_formula(case, bias, sign):
    def dense(x, w, b, r):
        return formula(x, w, b, r, torch.full_like(x, -3.0), torch.full_like(x, 4.0))

    check(rule("box", low=-3.0, high=4.0), dense, case, bias, sign)


@every_layer
def test_one_bound_per_channel(case, bias, sign):
    axis = -1 if case.name.startswith("linear") else 0
    count = case.shape[axis]
    low = tuple(-2.0 - i for i in range(count))

    def dense(x, w, b, r):
        width = x.shape[1] // count  # larger where a padding mode repeats values
        values = torch.tensor(low, dtype=x.dtype)
        spread = values.repeat(width) if axis == -1 else values.repeat_interleave(width)
        return formula(x, w, b, r, spread.expand_as(x), torch.full_like(x, 4.0))

    check(rule("box", low=low, high=4.0), dense, case, bias, sign)


def test_bounds_that_do_not_fit_are_named():
    model = nn.Sequential(nn.Conv2d(3, 2, 1))
    x = torch.zeros(1, 3, 2, 2)
    with pytest.raises(EngineError, match=r"box rule at conv2d in 0 .*low has \(2,\) values.*one or 3"):
        relevance(model, x, rule("box", low=(0.0, 1.0)), torch.zeros(1, 2, 2, 2))


def test_conserves_exactly():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, padding=1).double()
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64) * 6 - 3
    given = torch.rand_like(layer(x))
    found = relevance(layer, x, rule("box", epsilon=0.0), given)
    torch.testing.assert_close(found.sum((1, 2, 3)), given.sum((1, 2, 3)), rtol=1e-12, atol=0)
