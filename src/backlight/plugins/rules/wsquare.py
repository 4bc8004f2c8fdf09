"""LRP w² (Montavon et al. 2017): share by squared weights, whatever the input.

s = R / st(1·W² + b²);  R_x = sᵀW². The bias absorbs its share unless it is taken as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class WSquare(Rule):
    """Share relevance in proportion to the squares of the weights; for inputs without natural bounds.

    epsilon, stabiliser: how the denominator is kept from zero.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return sᵀW²; the denominator is computed once per input shape."""
        op = op.without(self.zero_params)
        return op.transpose(self._share(op, relevance), op.derive("square", Tensor.square))

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what the bias takes."""
        op = op.without(self.zero_params)
        term = op.bias_term
        return {} if term is None else {"bias": self._share(op, relevance) * term.square()}

    def _share(self, op: AffineOp, relevance: Tensor) -> Tensor:
        squares = op.derive("square", Tensor.square)

        def make() -> Tensor:
            total = op.forward(torch.ones_like(op.input[:1]), squares)
            return total if op.bias_term is None else total + op.bias_term.square()

        return quotient(relevance, op.derive_for_shape("w-square", make), self.epsilon, self.stabiliser)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP w²."""
    return [RuleSpec("w-square", WSquare, conserves="up to bias", cite="montavon2017")]
