"""Rule for layer, RMS, group and instance norm (Achtibat et al. 2024, sec. 3.3.2): 1/σ counts as a constant.

y = (x − μ(x)) · g/σ + β is then affine in x; with s = R / st(y) · g/σ:  R_x = x ⊙ (s − mean(s)), the mean
over the axes that μ averages (no mean for RMS norm and x/‖x‖). β absorbs its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Normalisation(Rule):
    """Explain a normalisation as the affine map that it is once its scale is fixed.

    epsilon, stabiliser: how the denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: Op, relevance: Tensor) -> Tensor:
        """Return x ⊙ (s − mean(s))."""
        return op.input * _TRANSPOSES[op.site.name](
            op, quotient(relevance, op.output, self.epsilon, self.stabiliser)
        )

    def absorbed(self, op: Op, relevance: Tensor) -> dict[str, Tensor]:
        """Return what the bias takes."""
        bias = op.arguments.get("bias")
        if bias is None:
            return {}
        shift = _on_channels(bias, op.output) if op.site.name in _CHANNELWISE else bias
        return {"bias": quotient(relevance, op.output, self.epsilon, self.stabiliser) * shift.detach()}


def _layer_norm(op: Op, s: Tensor) -> Tensor:
    given, x = op.arguments, op.input
    dims = tuple(range(-len(given["normalized_shape"]), 0))
    s = _gained(s, given.get("weight")) * _rsqrt(x.var(dims, correction=0, keepdim=True), given)
    return s - s.mean(dims, keepdim=True)


def _rms_norm(op: Op, s: Tensor) -> Tensor:
    given, x = op.arguments, op.input
    shape = given["normalized_shape"]
    dims = tuple(range(-len(shape) if isinstance(shape, (tuple, list)) else -1, 0))
    eps = given.get("eps")
    power = x.square().mean(dims, keepdim=True) + (torch.finfo(x.dtype).eps if eps is None else eps)
    return _gained(s, given.get("weight")) * power.rsqrt()


def _group_norm(op: Op, s: Tensor) -> Tensor:
    return _grouped(op, s, op.arguments["num_groups"])


def _instance_norm(op: Op, s: Tensor) -> Tensor:
    given = op.arguments
    if given.get("use_input_stats", True):
        return _grouped(op, s, op.input.shape[1])
    scale = _on_channels(_rsqrt(given["running_var"], given), s)  # fixed statistics: an affine map already
    return _gained(s, given.get("weight"), channels=True) * scale


def _batch_norm(op: Op, s: Tensor) -> Tensor:
    given, x = op.arguments, op.input
    dims = tuple(d for d in range(x.ndim) if d != 1)
    s = _gained(s, given.get("weight"), channels=True)
    s = s * _rsqrt(x.var(dims, correction=0, keepdim=True), given)
    return s - s.mean(dims, keepdim=True)


def _normalize(op: Op, s: Tensor) -> Tensor:
    given, x = op.arguments, op.input
    size: Tensor = torch.linalg.vector_norm(x, given.get("p", 2.0), given.get("dim", 1), keepdim=True)
    return s / size.clamp(min=given.get("eps", 1e-12))


def _grouped(op: Op, s: Tensor, groups: int) -> Tensor:
    x = op.input.reshape(op.input.shape[0], groups, -1)
    s = _gained(s, op.arguments.get("weight"), channels=True).reshape(x.shape)
    s = s * _rsqrt(x.var(-1, correction=0, keepdim=True), op.arguments)
    return (s - s.mean(-1, keepdim=True)).reshape(op.input.shape)


def _gained(s: Tensor, gain: Tensor | None, channels: bool = False) -> Tensor:
    if gain is None:
        return s
    gain = gain.to(s.dtype)
    return s * (_on_channels(gain, s) if channels else gain)


def _on_channels(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(1, -1, *(1 for _ in like.shape[2:])).to(like.dtype)


def _rsqrt(variance: Tensor, given: dict[str, Any]) -> Tensor:
    return (variance + given.get("eps", 1e-5)).rsqrt()


_TRANSPOSES: dict[str, Callable[[Op, Tensor], Tensor]] = {
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "normalize": _normalize,
}
"""Function name -> transpose of its linear part."""

_CHANNELWISE = ("group_norm", "instance_norm", "batch_norm")
"""Functions whose gain and bias have one value for each channel, the second axis."""


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the rule for normalisations."""
    return [
        RuleSpec(
            "normalisation",
            Normalisation,
            takes=("normalisation",),
            conserves="up to epsilon and bias",
            cite="achtibat2024",
        )
    ]
