"""LRP-flat against its formula on dense matrices: weights of one wherever there is a weight."""

from __future__ import annotations

import torch

from backlight import rule
from dense import check, every_layer, st


@every_layer
def test_equals_its_formula(case, bias, sign):
    def formula(x, w, b, r):
        ones = (w != 0).to(w)  # random weights are never exactly zero where there is a connection
        return (r / st(torch.ones_like(x) @ ones)) @ ones.T

    check(rule("flat"), formula, case, bias, sign)
