"""Products of two signals against sums written out term by term."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from explained import explain, rand

EPS = 1e-6

SPELLINGS = {
    "operator": lambda a, b: a @ b,
    "torch.matmul": torch.matmul,
    "method": lambda a, b: a.matmul(other=b),
    "bmm": torch.bmm,
    "einsum": lambda a, b: torch.einsum("nij,njk->nik", a, b),
}


def _uniform(a, b, r):
    of_a, of_b = torch.zeros_like(a), torch.zeros_like(b)
    out = a @ b
    for n in range(2):
        for i in range(3):
            for k in range(5):
                z = 2 * out[n, i, k]
                s = r[n, i, k] / (z + (EPS if z >= 0 else -EPS))
                for j in range(4):
                    of_a[n, i, j] += a[n, i, j] * b[n, j, k] * s
                    of_b[n, j, k] += a[n, i, j] * b[n, j, k] * s
    return of_a, of_b


@pytest.mark.parametrize("spelling", SPELLINGS, ids=SPELLINGS)
def test_each_factor_gets_half(spelling):
    torch.manual_seed(0)
    a, b, r = rand(2, 3, 4), rand(2, 4, 5), rand(2, 3, 5)
    found = explain(SPELLINGS[spelling], a, b, by="attn-lrp", given=r)
    found.assert_faithful()
    expected = _uniform(a, b, r)
    for actual, wanted in zip(found.relevance, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=1e-12)


def test_three_factors_get_a_third():
    torch.manual_seed(0)
    a, b, c = rand(2, 3), rand(2, 4), rand(2, 5)
    found = explain(lambda a, b, c: torch.einsum("ni,nj,nk->nijk", a, b, c), a, b, c, by="attn-lrp")
    found.assert_conserved()
    sums = [float(r.sum()) for r in found.relevance]
    assert sums == pytest.approx([sums[0]] * 3)


def test_bilinear_layer():
    torch.manual_seed(0)
    a, b, weight = rand(3, 4), rand(3, 5), rand(2, 4, 5)
    found = explain(lambda a, b: F.bilinear(a, b, weight), a, b, by="attn-lrp")
    found.assert_faithful()
    found.assert_conserved()
    out = torch.einsum("ni,oij,nj->no", a, weight, b)
    s = out / (2 * out + torch.where(out < 0, -EPS, EPS))
    torch.testing.assert_close(found.relevance[0], a * torch.einsum("no,oij,nj->ni", s, weight, b))
    torch.testing.assert_close(found.relevance[1], b * torch.einsum("no,oij,ni->nj", s, weight, a))


CONSTANTS = {
    "x@W": lambda x, w: x @ w,
    "W@x": lambda x, w: w.T @ x.mT,
    "einsum": lambda x, w: torch.einsum("nij,jk->nik", x, w),
    "einsum-swapped": lambda x, w: torch.einsum("jk,nij->nik", w, x),
    "tensordot": lambda x, w: torch.tensordot(x, w, 1),
    "matmul-3d": lambda x, w: x @ w.expand(2, -1, -1),
}


@pytest.mark.parametrize("rule", ["epsilon", "z-plus", "gamma"])
@pytest.mark.parametrize("spelling", CONSTANTS, ids=CONSTANTS)
def test_a_constant_factor_makes_a_linear_layer(spelling, rule):
    torch.manual_seed(0)
    x, w = rand(2, 3, 4), rand(4, 5)
    reference = explain(lambda x: F.linear(x, w.T), x, by=rule)
    found = explain(lambda x: CONSTANTS[spelling](x, w), x, by=rule)
    found.assert_faithful()
    assert [c.site.kind for c in found.covered if c.treatment == "rule"] == ["linear"]
    torch.testing.assert_close(found.relevance[0], reference.relevance[0])
