"""Merge batch norm into the linear layer before it or else the one after, by dataflow (Pahde et al. 2023).

With a = γ/√(σ²+ε) and c = β − μ·a, batch norm is a·z + c.
before: y = a·(W·x + b) + c has W' = a·W over outputs and b' = a·b + c;
after: y = W·(a·x + c) + b has W' = W·a over inputs and b' = b + W·c. Where the layer pads its input with
zeros, which are not shifted, W·c is smaller at the border: b' then depends on the position.

Batch norm over a concatenation (DenseNet) is batch norm over each part; each is merged into the layer that
made it, and a layer read by several norms is merged with each. What no layer made (a pooled or rectified
part) and what no layer reads at once (a ReLU follows) cannot be merged: a ReLU on either side stays a border.
There the norm is a linear layer of its own, by default with the epsilon rule, R_x = R · a·x / st(a·x + c).
The shift then absorbs as the bias of a merged layer does, so that what is explained does not depend on
whether it could be merged, and LRP-0 stays gradient times input. The threshold form of Pahde et al., which
moves a norm past its ReLU into the next layer, is exact too, but gives relevance to units that are off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.derived import Derived
from backlight.core.hookspecs import CanonizerSpec, hookimpl
from backlight.core.interception.functions import is_fixed, scale_and_shift
from backlight.core.linear_maps import ConvolutionMap, DenseMap, FunctionMap
from backlight.core.ops import AffineOp, Call


@final
@dataclass(frozen=True)
class BatchNorm(Canonizer):
    """Explain a convolution or dense layer and the batch norm next to it as one linear layer."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: batch norm may also be called as a function."""
        return True

    def merge(self, call: Call, before: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return the merged weight and bias if `call` is a batch norm with fixed statistics over `before`."""
        given, map_ = call.arguments, before.map
        if not _applies_to(call) or isinstance(map_, FunctionMap):
            return None
        swapped = given["input"].ndim == before.output.ndim and given["input"].shape != before.output.shape
        if isinstance(map_, DenseMap) and given["input"].ndim != 2 and not swapped:
            return None  # over (N, L, C): batch norm's channels are another axis than the layer's outputs
        sources = (before.weight, *_tensors(before.bias), *_statistics(call))

        def make() -> tuple[Tensor, Tensor]:
            scale, shift = scale_and_shift(given)
            weight = map_.scale_weight(before.weight, scale)
            if before.bias is None:
                return weight, shift
            if before.bias.ndim > 1:  # it depends on the position
                return weight, before.bias * map_.on_outputs(scale) + map_.on_outputs(shift)
            return weight, before.bias * scale + shift

        merged: tuple[Tensor, Tensor] = derived.get(("batch-norm", given["eps"], map_), sources, make)
        return merged

    def absorb(self, call: Call, after: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return the weight and bias of `after` applied to the batch norm's input."""
        map_, shape = after.map, after.input.shape[1:]
        if not _applies_to(call):
            return None
        if isinstance(map_, ConvolutionMap):
            if not (any(map_.padding) or map_.uneven or map_.transposed):
                shape = torch.Size((shape[0], *_reach(after.weight, map_)))  # the same at every position
        elif not isinstance(map_, DenseMap) or after.input.ndim != 2:
            return None
        sources = (after.weight, *_tensors(after.bias), *_statistics(call))

        def make() -> tuple[Tensor, Tensor | None]:
            scale, shift = scale_and_shift(call.arguments)
            weight = _scaled_inputs(after, scale)
            if not shift.any():
                return weight, after.bias
            offset = map_.apply(shift.new_zeros(1, *shape) + map_.on_inputs(shift), after.weight)
            if offset.numel() == offset.shape[1]:
                return weight, offset.flatten() if after.bias is None else offset.flatten() + after.bias
            return weight, offset if after.bias is None else offset + map_.on_outputs(after.bias)

        key = ("batch-norm before", call.arguments["eps"], map_, shape)
        merged: tuple[Tensor, Tensor | None] = derived.get(key, sources, make)
        return merged


def _reach(weight: Tensor, map_: ConvolutionMap) -> tuple[int, ...]:
    """Return the size of the input that one output sees."""
    return tuple(d * (k - 1) + 1 for d, k in zip(map_.dilation, weight.shape[2:], strict=True))


def _scaled_inputs(op: AffineOp, scale: Tensor) -> Tensor:
    """Return the weight with every input channel multiplied by its entry of `scale`."""
    weight, ones = op.weight, (1,) * (op.weight.ndim - 2)
    if isinstance(op.map, ConvolutionMap) and op.map.transposed:
        return weight * scale.reshape(-1, 1, *ones)
    groups = op.map.groups if isinstance(op.map, ConvolutionMap) else 1
    scaled = weight.reshape(groups, -1, *weight.shape[1:]) * scale.reshape(groups, 1, -1, *ones)
    return scaled.reshape(weight.shape)


def _applies_to(call: Call) -> bool:
    return call.site.kind == "batch-norm" and is_fixed(call.arguments)


def _statistics(call: Call) -> tuple[Tensor, ...]:
    return tuple(_tensors(*(call.arguments[n] for n in ("running_mean", "running_var", "weight", "bias"))))


def _tensors(*values: Tensor | None) -> tuple[Tensor, ...]:
    return tuple(v for v in values if v is not None)


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the merging of batch norm."""
    return [CanonizerSpec("batch-norm", BatchNorm, cite="pahde2023")]
