"""The softmax rule and whole attention against loops over tokens, written from the papers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute, composite
from explained import explain, rand

SPELLINGS = {
    "F": lambda x: F.softmax(x, -1),
    "F-keyword": lambda x: F.softmax(input=x, dim=-1),
    "torch": lambda x: torch.softmax(x, -1),
    "method": lambda x: x.softmax(dim=-1),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("softmax", SPELLINGS.values(), ids=SPELLINGS)
def test_softmax_equals_the_taylor_expansion(softmax):
    x, r = rand(3, 5), rand(3, 5)
    found = explain(softmax, x, by="attn-lrp", given=r)
    for n in range(3):
        s = [math.exp(v) / sum(math.exp(w) for w in x[n].tolist()) for v in x[n].tolist()]
        total = sum(r[n].tolist())
        expected = [x[n, i].item() * (r[n, i].item() - s[i] * total) for i in range(5)]
        torch.testing.assert_close(found.relevance[0][n], torch.tensor(expected, dtype=torch.float64))


def test_masked_positions_get_nothing():
    x = rand(2, 4)
    mask = torch.tensor([[0, 0, -math.inf, 0]], dtype=torch.float64)
    found = explain(lambda x: F.softmax(x + mask, -1), x, by="attn-lrp", given=rand(2, 4))
    assert torch.isfinite(found.relevance[0]).all()
    assert (found.relevance[0][:, 2] == 0).all()


@pytest.mark.parametrize("by", ["attn-lrp", "cp-lrp", "epsilon"])
def test_attention_equals_a_loop_over_tokens(by):
    q, k, v, r = rand(3, 2), rand(4, 2), rand(4, 5), rand(3, 5)
    found = explain(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), q, k, v, by=by, given=r)
    found.assert_faithful()
    eps, scale = 1e-6, 1 / math.sqrt(2)
    weights = torch.softmax(q @ k.T * scale, -1)
    out = weights @ v
    expected = [torch.zeros_like(x) for x in (q, k, v)]
    of_weights = torch.zeros_like(weights)
    halves = 2.0 if by == "attn-lrp" else 1.0
    for i in range(3):
        for d in range(5):
            z = halves * out[i, d]
            s = r[i, d] / (z + (eps if z >= 0 else -eps))
            for j in range(4):
                share = weights[i, j] * v[j, d] * s
                expected[2][j, d] += share
                of_weights[i, j] += share if by == "attn-lrp" else 0
    logits = q @ k.T * scale
    of_logits = logits * (of_weights - weights * of_weights.sum(-1, keepdim=True))
    for i in range(3):
        for j in range(4):
            z = 2 * logits[i, j]
            s = of_logits[i, j] / (z + (eps if z >= 0 else -eps))
            expected[0][i] += q[i] * scale * k[j] * s
            expected[1][j] += q[i] * scale * k[j] * s
    for actual, wanted in zip(found.relevance, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=1e-12)


def test_values_alone_conserve():
    q, k, v = rand(2, 3, 4, 5), rand(2, 3, 6, 5), rand(2, 3, 6, 5)
    found = explain(F.scaled_dot_product_attention, q, k, v, by="cp-lrp")
    found.assert_conserved()
    assert not found.relevance[0].any()
    assert not found.relevance[1].any()
    assert found.uncovered == []


def test_weights_are_found_through_views_casts_scaling_and_dropout():
    def attend(x):
        weights = F.dropout(F.softmax(x @ x.mT, -1).to(torch.float64).unsqueeze(1) * 0.5, 0.1, training=False)
        return weights.squeeze(1).contiguous() @ x

    x = rand(2, 4, 3)
    found = explain(attend, x)
    weights = 0.5 * torch.softmax(x @ x.mT, -1)
    out = weights @ x
    expected = x * (weights.mT @ (out / (out + torch.copysign(torch.tensor(1e-6), out))))
    torch.testing.assert_close(found.relevance[0], expected)


def test_a_final_softmax_hands_relevance_to_the_logits():
    x = rand(2, 5)
    given = torch.zeros(2, 5, dtype=torch.float64)
    given[:, 1] = torch.softmax(x, -1)[:, 1]
    found = explain(lambda x: F.softmax(x, -1), x, given=given)
    assert (found.relevance[0].abs().sum(-1) > 0).all()


def test_under_attn_lrp_only_the_softmax_keeps_relevance():
    """The expansion's constant term: what is the same whatever queries and keys are."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, bias=False, norm_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 3, bias=False)).double().eval()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    audit = attribute(model, x, 1, composite=composite("attn-lrp", epsilon=1e-10)).audit()
    kept = dict.fromkeys(("softmax", "elsewhere"), 0.0)
    for operation in audit.operations:
        kind = "softmax" if operation.site.kind == "softmax" else "elsewhere"
        kept[kind] += operation.leaked
        if kind == "softmax":
            assert operation.leaks["constant"] == pytest.approx(operation.leaked, rel=1e-9)
    assert kept["softmax"] == pytest.approx(audit.received - audit.returned, rel=1e-5)
    assert abs(kept["elsewhere"]) < 1e-5 * abs(kept["softmax"])
