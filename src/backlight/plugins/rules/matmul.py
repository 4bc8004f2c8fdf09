"""Uniform rule for a matrix product of two signals (Achtibat et al. 2024, eq. 15).

Y = A·B:  R_A = A ⊙ (R / st(2Y)) Bᵀ,  R_B = B ⊙ Aᵀ (R / st(2Y)); likewise for einsum and bilinear forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class MatMul(Rule):
    """Split the relevance of a matrix product evenly between its factors, by their contributions.

    epsilon, stabiliser: how the denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return each factor's relevance."""
        pulled = op.vjp(quotient(relevance, op.output * len(op.inputs), self.epsilon, self.stabiliser))
        return tuple(None if p is None else x * p for x, p in zip(op.inputs, pulled, strict=True))


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the uniform rule for matrix products."""
    return [RuleSpec("matmul", MatMul, takes=("matmul",), conserves="up to epsilon", cite="achtibat2024")]
