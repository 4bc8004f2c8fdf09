"""LRP box rule, zB (Montavon et al. 2017), for inputs known to lie in [low, high].

s = R / st(x·W − l·W⁺ − h·W⁻);  R_x = x⊙sᵀW − l⊙sᵀW⁺ − h⊙sᵀW⁻ = (x−l)⊙sᵀW⁺ + (x−h)⊙sᵀW⁻
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from backlight.core.errors import EngineError
from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.linear_maps import ConvolutionMap
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Box(Rule):
    """Share relevance by how far each input lies from the bound it could have had.

    low, high: bounds of the input, a number or one per channel; EngineError if they do not broadcast.
    epsilon, stabiliser: how the denominator is kept from zero.
    """

    low: float | tuple[float, ...] = -3.0
    high: float | tuple[float, ...] = 3.0
    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance; the bounds' share of the denominator is computed once per input shape."""
        low, high = self._bound(op, self.low, "low"), self._bound(op, self.high, "high")
        z = op.output if op.bias_term is None else op.output - op.bias_term
        s = quotient(relevance, z - self._offset(op, low, high), self.epsilon, self.stabiliser)
        positive, negative = op.transpose(s, op.positive_weight), op.transpose(s, op.negative_weight)
        return (op.input - low) * positive + (op.input - high) * negative

    def _offset(self, op: AffineOp, low: Tensor, high: Tensor) -> Tensor:
        def make() -> Tensor:
            zeros = torch.zeros_like(op.input[:1])
            return op.forward(zeros + low, op.positive_weight) + op.forward(zeros + high, op.negative_weight)

        return op.derive_for_shape(self, make)

    def _bound(self, op: AffineOp, value: float | tuple[float, ...], name: str) -> Tensor:
        bound = torch.as_tensor(value, dtype=op.input.dtype, device=op.input.device)
        if bound.ndim == 0:
            return bound
        axis = 1 if isinstance(op.map, ConvolutionMap) else -1
        channels = op.input.shape[axis]
        if bound.shape != (channels,):
            raise EngineError(
                f"box rule at {op.site}: {name} has {tuple(bound.shape)} values, expected one or {channels}"
            )
        return op.map.on_inputs(bound)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the box rule."""
    return [RuleSpec("box", Box, conserves="exactly", cite="montavon2017")]
