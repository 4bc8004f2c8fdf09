"""Normalisations against their matrix for a fixed scale, built column by column."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from explained import explain, rand

EPS = 1e-6


def _affine(channels: int) -> dict[str, Tensor]:
    return {"weight": rand(channels), "bias": rand(channels)}


def _standard(x: Tensor, dims: tuple[int, ...], eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    return x.mean(dims, keepdim=True), (x.var(dims, correction=0, keepdim=True) + eps).sqrt()


def _layer(x: Tensor, p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    sigma = _standard(x, (-1,))[1]
    return lambda v: (v - v.mean(-1, keepdim=True)) / sigma * p["weight"]


def _rms(x: Tensor, p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    sigma = (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return lambda v: v / sigma * p["weight"]


def _group(groups: int) -> Callable[..., Callable[[Tensor], Tensor]]:
    def linear(x: Tensor, p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        split = x.reshape(x.shape[0], groups, -1)
        sigma = _standard(split, (-1,))[1]

        def apply(v: Tensor) -> Tensor:
            v = v.reshape(split.shape)
            return ((v - v.mean(-1, keepdim=True)) / sigma).reshape(x.shape) * p["weight"][:, None]

        return apply

    return linear


def _batch(x: Tensor, p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    sigma = _standard(x, (0, 2))[1]
    return lambda v: (v - v.mean((0, 2), keepdim=True)) / sigma * p["weight"][:, None]


def _unit(x: Tensor, p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    size = x.norm(dim=1, keepdim=True)
    return lambda v: v / size


CASES = {
    "layer": (lambda x, p: F.layer_norm(x, (6,), p["weight"], p["bias"]), _layer, (2, 4, 6)),
    "layer-torch": (lambda x, p: torch.layer_norm(x, (6,), p["weight"], p["bias"], 1e-5), _layer, (2, 4, 6)),
    "rms": (lambda x, p: F.rms_norm(x, (6,), p["weight"], 1e-5), _rms, (2, 4, 6)),
    "group": (lambda x, p: F.group_norm(x, 2, p["weight"], p["bias"]), _group(2), (2, 4, 6)),
    "group-one": (lambda x, p: F.group_norm(x, 1, p["weight"], p["bias"]), _group(1), (2, 4, 6)),
    "instance": (lambda x, p: F.instance_norm(x, weight=p["weight"], bias=p["bias"]), _group(4), (2, 4, 6)),
    "batch-statistics": (
        lambda x, p: F.batch_norm(x, None, None, p["weight"], p["bias"], training=True), _batch, (3, 4, 6),
    ),
    "normalize": (lambda x, p: F.normalize(x, dim=1), _unit, (2, 4, 6)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_its_matrix_for_a_fixed_scale(case):
    torch.manual_seed(0)
    function, linear, shape = case
    channels = shape[-1] if linear in (_layer, _rms) else shape[1]
    parameters = _affine(channels)
    x, r = rand(*shape), rand(*shape)
    apply = linear(x, parameters)
    size = x.numel()
    matrix = torch.stack(
        [apply(row.reshape(shape)).flatten() for row in torch.eye(size, dtype=torch.float64)]
    )
    y = function(x, parameters)
    s = r / (y + torch.where(y < 0, -EPS, EPS))
    expected = x * (matrix @ s.flatten()).reshape(shape)
    found = explain(lambda x: function(x, parameters), x, given=r)
    found.assert_faithful()
    assert found.uncovered == []
    torch.testing.assert_close(found.relevance[0], expected, rtol=1e-8, atol=1e-10)


MODULES = {
    "LayerNorm": (nn.LayerNorm(6), (2, 4, 6)),
    "LayerNorm-2d": (nn.LayerNorm((4, 6)), (2, 4, 6)),
    "RMSNorm": (nn.RMSNorm(6), (2, 4, 6)),
    "GroupNorm": (nn.GroupNorm(2, 4), (2, 4, 6)),
    "InstanceNorm1d": (nn.InstanceNorm1d(4, affine=True), (2, 4, 6)),
    "InstanceNorm2d-tracked": (nn.InstanceNorm2d(4, track_running_stats=True), (2, 4, 3, 3)),
    "BatchNorm1d-untracked": (nn.BatchNorm1d(4, track_running_stats=False), (3, 4, 6)),
    "LocalResponseNorm": (nn.LocalResponseNorm(3), (2, 4, 6)),
}


@pytest.mark.parametrize("case", MODULES.values(), ids=MODULES)
def test_modules_conserve_without_bias(case):
    torch.manual_seed(0)
    module, shape = case
    found = explain(module.double(), rand(*shape))
    found.assert_faithful()
    found.assert_conserved()


def test_hand_written_normalisation_conserves():
    def norm(x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()

    def rms(x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)

    torch.manual_seed(0)
    for function in (norm, rms):
        found = explain(function, rand(3, 8))
        found.assert_faithful()
        found.assert_conserved()


def test_bias_absorbs_its_share():
    torch.manual_seed(0)
    bias = rand(6)
    x = rand(3, 6)
    found = explain(lambda x: F.layer_norm(x, (6,), None, bias), x)
    lost = float(found.given.sum() - found.relevance[0].sum())  # each output holds its bias once
    assert lost == pytest.approx(3 * float(bias.sum()), rel=1e-3)
