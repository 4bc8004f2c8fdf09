"""Fused functions taken apart compute the same, in every spelling, and conserve where there is no bias."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from explained import explain, rand

A, B, C = (3, 4), (4, 5), (3, 5)
FUNCTIONS = {
    "addmm": (lambda c, a, b: torch.addmm(c, a, b), (C, A, B)),
    "addmm-scaled": (lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2), (C, A, B)),
    "addmm-method": (lambda c, a, b: c.addmm(a, b), (C, A, B)),
    "baddbmm": (torch.baddbmm, ((2, *C), (2, *A), (2, *B))),
    "addbmm": (torch.addbmm, (C, (2, *A), (2, *B))),
    "addmv": (torch.addmv, ((3,), A, (4,))),
    "addr": (torch.addr, (A, (3,), (4,))),
    "addcmul": (lambda a, b, c: torch.addcmul(a, b, c, value=0.3), (A, A, A)),
    "addcdiv": (lambda a, b, c: torch.addcdiv(a, b, c.square() + 1), (A, A, A)),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), (A, A)),
    "lerp-tensor": (lambda a, b, w: torch.lerp(a, b, torch.sigmoid(w)), (A, A, A)),
    "glu": (lambda x: F.glu(x, 0), ((4, 3),)),
    "softmin": (lambda x: F.softmin(x, -1), (A,)),
    "cosine": (lambda a, b: F.cosine_similarity(a, b), (A, A)),
    "var": (lambda x: x.var(), (A,)),
    "var-biased": (lambda x: torch.var(x, 1, unbiased=False), (A,)),
    "var-axes": (lambda x: x.var(dim=(0, 1), correction=0, keepdim=True), (A,)),
    "multi-dot": (lambda a, b: torch.linalg.multi_dot([a, b, a]), (A, (4, 3))),
}


@pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)
def test_computes_the_same_and_is_covered(case):
    torch.manual_seed(0)
    function, shapes = case
    found = explain(function, *(rand(*shape) for shape in shapes))
    found.assert_faithful()
    assert found.uncovered == []


CONSERVING = [n for n in FUNCTIONS if n not in ("softmin", "var", "var-biased", "var-axes")]


@pytest.mark.parametrize("name", CONSERVING)
def test_conserves(name):
    torch.manual_seed(0)
    function, shapes = FUNCTIONS[name]
    explain(function, *(rand(*shape) for shape in shapes)).assert_conserved()
