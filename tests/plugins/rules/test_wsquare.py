"""LRP w² against its formula on dense matrices."""

from __future__ import annotations

from backlight import rule
from dense import check, every_layer
from formulas import wsquare as formula


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("w-square"), formula, case, bias, sign)


@every_layer
def test_without_bias(case, bias, sign):
    check(
        rule("w-square", zero_params=("bias",)), lambda x, w, b, r: formula(x, w, 0 * b, r), case, bias, sign
    )
