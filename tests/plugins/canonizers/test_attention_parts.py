"""Attention taken apart computes what torch's does, whatever it is asked for, and can be explained."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from explained import explain, rand

E, H = 8, 2


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


MODULES = {
    "plain": {},
    "batch-first": {"batch_first": True},
    "no-bias": {"bias": False},
    "bias-kv": {"add_bias_kv": True},
    "zero-attention": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True},
    "other-widths": {"kdim": 5, "vdim": 7},
    "dropout": {"dropout": 0.5},
}
MASKS = {
    "none": {},
    "float": {"attn_mask": torch.randn(4, 6, dtype=torch.float64)},
    "boolean": {"attn_mask": torch.ones(4, 6, dtype=torch.bool).triu(3)},
    "per-head": {"attn_mask": torch.randn(3 * H, 4, 6, dtype=torch.float64)},
    "padding": {"key_padding_mask": torch.tensor([[0, 0, 0, 0, 1, 1], [0] * 6, [0, 1, 0, 0, 0, 0]]).bool()},
    "both": {
        "attn_mask": torch.randn(4, 6, dtype=torch.float64),
        "key_padding_mask": torch.tensor([[0] * 5 + [-torch.inf]] * 3, dtype=torch.float64),
    },
    "weights-per-head": {"average_attn_weights": False},
    "no-weights": {"need_weights": False},
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("options", MODULES.values(), ids=MODULES)
def test_multihead_attention(options, mask):
    attention = nn.MultiheadAttention(E, H, **options).double()
    shapes = [(4, 3, E), (6, 3, options.get("kdim", E)), (6, 3, options.get("vdim", E))]
    if options.get("batch_first"):
        shapes = [(b, t, w) for t, b, w in shapes]
    inputs = [rand(*shape) for shape in shapes]

    class Net(nn.Module):
        def __init__(self, pick):
            super().__init__()
            self.attention, self.pick = attention, pick

        def forward(self, q, k, v):
            return self.attention(q, k, v, **mask)[self.pick]

    found = explain(Net(0), *inputs)
    found.assert_faithful()
    assert found.uncovered == []
    assert found.relevance[2].any()
    if mask.get("need_weights", True):
        explain(Net(1), *inputs).assert_faithful()


def test_dropout_that_is_never_switched_off_is_no_reason_to_refuse():
    found = explain(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5), rand(2, 4, E))
    assert found.output.isfinite().all()


def test_explained_in_evaluation_though_given_in_training_mode():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(E, H, dropout=0.9)

        def forward(self, x):
            return self.attention(x, x, x)[0]

    net = Net().double().train()
    explain(net, rand(4, 3, E)).assert_faithful()
    assert all(m.training for m in net.modules())


def test_without_batch():
    attention = nn.MultiheadAttention(E, H, bias=False).double().eval()
    found = explain(lambda x: attention(x, x, x)[0], rand(4, E))
    found.assert_faithful()
    found.assert_conserved()


SDPA = {
    "plain": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.3},
    "boolean": {"attn_mask": torch.ones(4, 4, dtype=torch.bool).tril()},
    "float": {"attn_mask": torch.randn(4, 4, dtype=torch.float64)},
}


@pytest.mark.parametrize("options", SDPA.values(), ids=SDPA)
def test_scaled_dot_product_attention(options):
    found = explain(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options),
        rand(2, 3, 4, 5), rand(2, 3, 4, 5), rand(2, 3, 4, 6),
    )  # fmt: skip
    found.assert_faithful()
    found.assert_conserved()


def test_grouped_queries():
    found = explain(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        rand(2, 4, 3, 5), rand(2, 2, 3, 5), rand(2, 2, 3, 5),
    )  # fmt: skip
    found.assert_faithful()
    found.assert_conserved()


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer_encoder_never_takes_the_fused_path(norm_first, activation):
    layer = nn.TransformerEncoderLayer(
        E, H, 16, activation=activation, batch_first=True, norm_first=norm_first, bias=False
    )
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).double().eval()
    for by in ("epsilon", "attn-lrp"):
        found = explain(encoder, rand(2, 5, E), by=by)
        found.assert_faithful()
        assert found.uncovered == []
        names = {c.site.name for c in found.covered}
        assert {"softmax", "linear", "layer_norm", activation} <= names
        if by == "epsilon":
            found.assert_conserved()


def test_decoder_with_memory():
    layer = nn.TransformerDecoderLayer(E, H, 16, batch_first=True, bias=False).double().eval()
    found = explain(layer, rand(2, 3, E), rand(2, 5, E))
    found.assert_faithful()
    found.assert_conserved()
    assert all(r.any() for r in found.relevance)
