"""Merge batch norm into the linear layer before it or else the one after, by dataflow (Pahde et al. 2023).

With a = γ/√(σ²+ε) and c = β − μ·a, batch norm is a·z + c.
before: y = a·(W·x + b) + c has W' = a·W over outputs and b' = a·b + c;
after: y = W·(a·x + c) + b has W' = W·a over inputs and b' = b + W·c. This is exact unless the layer pads its
input with zeros and c is not zero: what is padded with is not shifted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl
from backlight.core.maps import FunctionMap
from backlight.core.ops import AffineOp, Call, ConvolutionMap, DenseMap, Derived


@final
@dataclass(frozen=True)
class BatchNorm(Canonizer):
    """Explain a convolution or dense layer and the batch norm next to it as one linear layer."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: batch norm may also be called as a function."""
        return True

    def merge(self, call: Call, before: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return the merged weight and bias if `call` is a batch norm with fixed statistics over `before`."""
        given = call.arguments
        if not _is_fixed(call) or isinstance(before.map, FunctionMap):
            return None
        swapped = given["input"].ndim == before.output.ndim and given["input"].shape != before.output.shape
        if isinstance(before.map, DenseMap) and given["input"].ndim != 2 and not swapped:
            return (
                None  # a dense layer over (N, L, C): batch norm's channels are another axis than its outputs
            )
        sources = (before.weight, *_tensors(before.bias), *_statistics(call))

        def make() -> tuple[Tensor, Tensor]:
            scale, shift = _scale_and_shift(call)
            bias = shift if before.bias is None else before.bias * scale + shift
            return before.map.scale_weight(before.weight, scale), bias

        merged: tuple[Tensor, Tensor] = derived.get(("batch-norm", given["eps"]), sources, make)
        return merged

    def absorb(self, call: Call, after: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return the weight and bias of `after` applied to the batch norm's input, where that is exact."""
        map_ = after.map
        if not _is_fixed(call):
            return None
        if isinstance(map_, ConvolutionMap):
            if map_.transposed:
                return None  # its border sees fewer inputs
            padded = any(map_.padding) or bool(map_.uneven)
        elif isinstance(map_, DenseMap) and after.input.ndim == 2:
            padded = False
        else:
            return None
        sources = (after.weight, *_tensors(after.bias), *_statistics(call))

        def make() -> tuple[Tensor, Tensor | None] | None:
            scale, shift = _scale_and_shift(call)
            if padded and bool(shift.any()):
                return None
            groups = map_.groups if isinstance(map_, ConvolutionMap) else 1
            weight = after.weight.reshape(groups, -1, *after.weight.shape[1:])
            ones = (1,) * (after.weight.ndim - 2)
            scaled = weight * scale.reshape(groups, 1, -1, *ones)
            offset = (weight * shift.reshape(groups, 1, -1, *ones)).reshape(len(after.weight), -1).sum(1)
            return scaled.reshape(after.weight.shape), offset if after.bias is None else after.bias + offset

        key = ("batch-norm before", call.arguments["eps"], padded)
        merged: tuple[Tensor, Tensor | None] | None = derived.get(key, sources, make)
        return merged


def _is_fixed(call: Call) -> bool:
    given = call.arguments
    return call.site.kind == "batch-norm" and not given["training"] and given["running_mean"] is not None


def _statistics(call: Call) -> tuple[Tensor, ...]:
    return tuple(_tensors(*(call.arguments[n] for n in ("running_mean", "running_var", "weight", "bias"))))


def _tensors(*values: Tensor | None) -> tuple[Tensor, ...]:
    return tuple(v for v in values if v is not None)


def _scale_and_shift(call: Call) -> tuple[Tensor, Tensor]:
    """Return a and c."""
    given = call.arguments
    scale = torch.rsqrt(given["running_var"] + given["eps"])
    if given["weight"] is not None:
        scale = scale * given["weight"]
    shift = -given["running_mean"] * scale
    return scale, shift if given["bias"] is None else shift + given["bias"]


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the merging of batch norm."""
    return [CanonizerSpec("batch-norm", BatchNorm, cite="pahde2023")]
