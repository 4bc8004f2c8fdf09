"""Fused functions taken apart compute the same, in every spelling, and conserve where there is no bias."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from backlight import attribute
from explained import explain, rand

A, B, C = (3, 4), (4, 5), (3, 5)
BILINEAR = torch.randn(6, 4, 5, dtype=torch.float64)
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
    "bilinear": (lambda a, b: F.bilinear(a, b, BILINEAR), ((3, 4), (3, 5))),
    "bilinear-tokens": (lambda a, b: F.bilinear(a, b, BILINEAR), ((2, 3, 4), (2, 3, 5))),
    "bilinear-constant": (lambda a: F.bilinear(a, BILINEAR[0, :3], BILINEAR), ((3, 4),)),
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


def test_bilinear_layers_equal_the_formula_and_say_what_the_bias_took():
    """Either factor gets half of what the product of both contributes."""
    torch.manual_seed(0)
    layer, a, b = torch.nn.Bilinear(4, 5, 3).double(), rand(2, 4), rand(2, 5)
    found = attribute(layer, (a, b), 1, composite="epsilon")
    out = found.output[:, 1]
    terms = torch.einsum("ni,ij,nj->nij", a, layer.weight[1].detach(), b)
    share = out / (out + torch.where(out < 0, -1e-6, 1e-6))
    half = terms * share[:, None, None] / 2
    torch.testing.assert_close(found.relevance[0], half.sum(2), rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(found.relevance[1], half.sum(1), rtol=1e-4, atol=1e-8)
    (added,) = [o for o in found.audit().operations if o.site.kind == "sum"]
    assert added.leaks["constant"] == pytest.approx(float(2 * layer.bias[1].detach()), rel=1e-3)
