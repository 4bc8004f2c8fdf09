"""Relative absolute magnitude (Vukadin et al. 2024): s = R / st(|x|·|W|),  R_x = |x| ⊙ sᵀ|W|.

Unlike in LRP-epsilon, contributions of opposite sign cannot cancel in the denominator, so that relevance
keeps its sign and its size stays bounded by what came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, stabilize
from backlight.core.rule import Rule
from torch import Tensor


@final
@dataclass(frozen=True)
class Magnitude(Rule):
    """Share relevance in proportion to the size of each contribution, whatever its sign.

    epsilon: stabiliser of the denominator (> 0).
    """

    epsilon: float = 1e-9

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return |x| ⊙ sᵀ|W|."""
        size = op.input.abs()
        total = op.forward(size, op.absolute_weight)
        return size * op.transpose(relevance / stabilize(total, self.epsilon), op.absolute_weight)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the rule."""
    return [RuleSpec("magnitude", Magnitude, conserves="up to epsilon")]
