"""Merge batch norm into the linear layer before it, by dataflow (Pahde et al. 2023).

For y = (W·x + b − μ)·γ/√(σ²+ε) + β the merged layer has W' = W·γ/√(σ²+ε) and b' = (b − μ)·γ/√(σ²+ε) + β.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl
from backlight.core.ops import AffineOp, Call, ConvolutionMap, Derived


@final
@dataclass(frozen=True)
class BatchNorm(Canonizer):
    """Explain a convolution or dense layer and the batch norm that consumes its output as one linear layer."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: batch norm may also be called as a function."""
        return True

    def merge(self, call: Call, before: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return the merged weight and bias when `call` is a batch norm with fixed statistics over `before`'s outputs."""
        given = call.arguments
        if call.site.kind != "batch-norm" or given["training"] or given["running_mean"] is None:
            return None
        if not isinstance(before.map, ConvolutionMap) and before.output.ndim != 2:
            return None  # a dense layer over (N, L, C): batch norm's channel axis is another than the layer's outputs
        mean, variance = given["running_mean"], given["running_var"]
        gain, shift = given["weight"], given["bias"]
        sources = tuple(t for t in (before.weight, before.bias, mean, variance, gain, shift) if t is not None)

        def make() -> tuple[Tensor, Tensor]:
            factor = torch.rsqrt(variance + given["eps"])
            if gain is not None:
                factor = factor * gain
            bias = (-mean if before.bias is None else before.bias - mean) * factor
            return before.map.scale_weight(before.weight, factor), bias if shift is None else bias + shift

        merged: tuple[Tensor, Tensor] = derived.get(("batch-norm", given["eps"]), sources, make)
        return merged


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the merging of batch norm."""
    return [CanonizerSpec("batch-norm", BatchNorm, cite="pahde2023")]
