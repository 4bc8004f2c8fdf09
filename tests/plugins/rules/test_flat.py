"""LRP-flat against its formula on dense matrices: weights of one wherever there is a weight."""

from __future__ import annotations

from backlight import rule
from dense import check, every_layer
from formulas import flat


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("flat"), flat, case, bias, sign)
