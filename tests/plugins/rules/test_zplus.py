"""LRP z-plus against its formula on dense matrices."""

from __future__ import annotations

from backlight import rule
from dense import check, every_layer, minus, plus, st


def formula(x, w, b, r):
    s = r / st(plus(x) @ plus(w) + minus(x) @ minus(w) + plus(b))
    return plus(x) * (s @ plus(w).T) + minus(x) * (s @ minus(w).T)


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("z-plus"), formula, case, bias, sign)


@every_layer
def test_without_bias(case, bias, sign):
    check(rule("z-plus", zero_params=("bias",)), lambda x, w, b, r: formula(x, w, 0 * b, r), case, bias, sign)
