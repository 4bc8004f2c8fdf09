"""LRP w² against its formula on dense matrices."""

from __future__ import annotations

import torch

from backlight import rule
from dense import check, every_layer, st


def formula(x, w, b, r):
    return (r / st(torch.ones_like(x) @ w**2 + b**2)) @ (w**2).T


@every_layer
def test_equals_its_formula(case, bias, sign):
    check(rule("w-square"), formula, case, bias, sign)


@every_layer
def test_without_bias(case, bias, sign):
    check(
        rule("w-square", zero_params=("bias",)), lambda x, w, b, r: formula(x, w, 0 * b, r), case, bias, sign
    )
