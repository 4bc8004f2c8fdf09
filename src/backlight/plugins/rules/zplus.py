"""LRP z-plus (Montavon et al. 2017): only contributions of positive sign share relevance.

s = R / st(x⁺·W⁺ + x⁻·W⁻ + b⁺);  R_x = x⁺ ⊙ sᵀW⁺ + x⁻ ⊙ sᵀW⁻
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, stabilize
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class ZPlus(Rule):
    """Share relevance among the positive contributions alone.

    epsilon: stabiliser of the denominator.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    epsilon: float = 1e-6
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance along x⁺W⁺ and x⁻W⁻; two maps forward and one back when no input is negative."""
        op = op.without(self.zero_params)
        s = relevance / stabilize(op.remember("positive part", lambda: positive_part(op)), self.epsilon)
        if op.non_negative_input:
            return op.input * op.transpose(s, op.positive_weight)
        x = op.input
        return x.clamp(min=0) * op.transpose(s, op.positive_weight) + x.clamp(max=0) * op.transpose(
            s, op.negative_weight
        )


def positive_part(op: AffineOp) -> Tensor:
    """Return x⁺·W⁺ + x⁻·W⁻ + b⁺, the sum of all positive contributions, summed without cancellation."""
    total = op.forward(op.input.clamp(min=0), op.positive_weight)
    if not op.non_negative_input:
        total = total + op.forward(op.input.clamp(max=0), op.negative_weight)
    return total if op.bias_term is None else total + op.bias_term.clamp(min=0)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP z-plus."""
    return [
        RuleSpec(
            "z-plus",
            ZPlus,
            conserves="up to bias and units without a positive contribution",
            cite="montavon2017",
        )
    ]
