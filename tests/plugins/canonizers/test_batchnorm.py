"""Batch norm merged by dataflow: against layers fused by hand, and left alone where that would be wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute, composite

CASES = {
    "conv1d": (nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), (2, 6)),
    "conv2d": (nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), (2, 5, 5)),
    "conv2d without bias": (nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), (2, 5, 5)),
    "conv2d grouped": (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (4, 5, 5)),
    "conv2d, norm without affine": (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, affine=False), (2, 5, 5)),
    "conv3d": (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 3, 3, 3)),
    "transposed": (nn.ConvTranspose2d(2, 3, 2, stride=2), nn.BatchNorm2d(3), (2, 3, 3)),
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6), (4, 3, 3)),
    "linear": (nn.Linear(5, 4), nn.BatchNorm1d(4), (5,)),
}


class Pair(nn.Module):
    def __init__(self, layer, norm):
        super().__init__()
        self.layer, self.norm = layer, norm

    def forward(self, x):
        return self.norm(self.layer(x)).flatten(1)


def lived_in(norm):
    nn.init.uniform_(norm.running_mean, -1, 1)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    if norm.affine:
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    return norm


def fused(layer, norm):
    """Return a copy of the layer with the norm's scale and shift in its own parameters."""
    factor = (norm.running_var + norm.eps) ** -0.5 * (norm.weight if norm.affine else 1.0)
    shift = norm.bias if norm.affine else torch.zeros_like(norm.running_mean)
    weight = layer.weight.detach().clone()
    if isinstance(layer, nn.ConvTranspose2d):
        for o, f in enumerate(factor):
            per = weight.shape[1]
            rows = weight.shape[0] // layer.groups
            weight[o // per * rows : (o // per + 1) * rows, o % per] *= f
    else:
        for o, f in enumerate(factor):
            weight[o] *= f
    before = layer.bias if layer.bias is not None else torch.zeros_like(factor)
    return weight.detach(), ((before - norm.running_mean) * factor + shift).detach()


@pytest.mark.parametrize("preset", ["epsilon", "z-plus", "gamma", "w-square", "flat", "alpha-beta"])
@pytest.mark.parametrize("name", CASES)
def test_equals_a_layer_fused_by_hand(name, preset):
    torch.manual_seed(0)
    layer, norm, shape = CASES[name]
    model = Pair(layer, lived_in(norm)).double().eval()
    x = torch.randn(3, *shape, dtype=torch.float64)
    found = attribute(model, x, [0, 1], composite=preset, canonizers=["batch-norm"])
    weight, bias = fused(layer, norm)

    class Fused(nn.Module):
        def forward(self, x):
            if isinstance(layer, nn.Linear):
                return F.linear(x, weight, bias)
            kind = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.ndim - 2]
            if isinstance(layer, nn.ConvTranspose2d):
                kind = F.conv_transpose2d
            return kind(x, weight, bias, layer.stride, layer.padding, groups=layer.groups).flatten(1)

    expected = attribute(Fused(), x, [0, 1], composite=preset)
    torch.testing.assert_close(found.output, expected.output, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-8, atol=1e-11)
    assert [c.treatment for c in found.coverage.operations][:2] == ["rule", "merged"]


def treatments(model, x, **options):
    found = attribute(model, x, 0, composite="epsilon", **options)
    return {c.site.name: c.treatment for c in found.coverage.operations}


class TestLeftAlone:
    def test_batch_statistics_are_not_fixed(self):
        class Live(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(2, 3, 3)

            def forward(self, x):
                return F.batch_norm(self.conv(x), None, None, training=True).flatten(1)

        told = treatments(Live(), torch.rand(3, 2, 5, 5), canonizers=["batch-norm"])
        assert told["batch_norm"] != "merged"

    def test_something_in_between(self):
        layer, norm, shape = CASES["conv2d"]
        model = nn.Sequential(layer, nn.ReLU(), norm, nn.Flatten()).double().eval()
        told = treatments(model, torch.rand(2, *shape, dtype=torch.float64), canonizers=["batch-norm"])
        assert told["batch_norm"] != "merged"

    def test_tokens_put_channels_elsewhere(self):
        model = Pair(nn.Linear(5, 4), lived_in(nn.BatchNorm1d(3))).double().eval()
        told = treatments(model, torch.rand(2, 3, 5, dtype=torch.float64), canonizers=["batch-norm"])
        assert told["batch_norm"] != "merged"

    def test_without_canonizers_relevance_passes(self):
        layer, norm, shape = CASES["conv2d"]
        told = treatments(
            Pair(layer, norm).double().eval(), torch.rand(2, *shape, dtype=torch.float64), canonizers=()
        )
        assert told["batch_norm"] == "rule"


def test_a_layer_that_is_read_twice_keeps_both_ways():
    """The convolution's output goes into the norm and, past it, into a sum: relevance reaches it on both."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 3, 1, bias=False), lived_in(nn.BatchNorm2d(3))

        def forward(self, x):
            h = self.conv(x)
            return (self.norm(h) + h).mean((2, 3))

    torch.manual_seed(0)
    model, x = Both().double().eval(), torch.rand(2, 2, 4, 4, dtype=torch.float64)
    nn.init.zeros_(model.norm.bias)
    nn.init.zeros_(model.norm.running_mean)
    found = attribute(model, x, "all", composite=composite("epsilon", epsilon=1e-12), layers=["conv"])
    torch.testing.assert_close(found.relevance.sum((2, 3, 4)), found.output, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.layers["conv"].sum((2, 3, 4)), found.output, rtol=1e-4, atol=1e-6)


def test_one_norm_after_two_layers_and_one_layer_before_two_norms():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 1, bias=False), nn.Conv2d(2, 3, 1, bias=False)
            self.norm, self.other = lived_in(nn.BatchNorm2d(3)), lived_in(nn.BatchNorm2d(3))

        def forward(self, x):
            h = self.a(x)
            return (self.norm(h) + self.other(h) + self.norm(self.b(x))).mean((2, 3))

    torch.manual_seed(0)
    model, x = Shared().double().eval(), torch.rand(2, 2, 4, 4, dtype=torch.float64)
    for norm in (model.norm, model.other):
        nn.init.zeros_(norm.bias)
        nn.init.zeros_(norm.running_mean)
    found = attribute(model, x, "all", composite=composite("epsilon", epsilon=1e-12))
    assert found.coverage.counts["merged"] == 3
    torch.testing.assert_close(found.relevance.sum((2, 3, 4)), found.output, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("constant", [False, True])
def test_a_norm_whose_scale_depends_on_the_input(constant):
    """Conditional batch norm, style from the picture itself: the scale is a gate, the shift a summand."""

    class Conditional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.scale = nn.Conv2d(2, 3, 1, bias=False), nn.Linear(2, 3, bias=False)
            self.register_buffer("canvas", torch.rand(2, 3, 4, 4))

        def forward(self, x):
            style = self.scale(x.mean((2, 3)))
            h = self.canvas if constant else self.conv(x)
            zero, one = torch.zeros(3, dtype=x.dtype), torch.ones(3, dtype=x.dtype)
            return F.batch_norm(h, zero, one, style[0], style[1]).mean((2, 3))

    torch.manual_seed(0)
    model, x = Conditional().double().eval(), torch.rand(2, 2, 4, 4, dtype=torch.float64)
    found = attribute(model, x, "all", composite=composite("epsilon", epsilon=1e-12), strict=True)
    torch.testing.assert_close(found.output, model(x).detach())
    assert found.relevance.any()
    torch.testing.assert_close(found.relevance.sum(), found.output.sum(), rtol=1e-6, atol=1e-9)
