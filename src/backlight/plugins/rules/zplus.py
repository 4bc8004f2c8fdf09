"""LRP z-plus (Montavon et al. 2017): only contributions of positive sign share relevance.

s = R / st(x⁺·W⁺ + x⁻·W⁻ + b⁺);  R_x = x⁺ ⊙ sᵀW⁺ + x⁻ ⊙ sᵀW⁻
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class ZPlus(Rule):
    """Share relevance among the positive contributions alone.

    epsilon, stabiliser: how the denominator is kept from zero.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance along x⁺W⁺ and x⁻W⁻; two maps forward and one back when no input is negative."""
        op = op.without(self.zero_params)
        s = quotient(relevance, op.positive_part, self.epsilon, self.stabiliser)
        return agreeing(op, s)

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what the bias takes, and what units without a positive contribution keep."""
        op = op.without(self.zero_params)
        lost = relevance.masked_fill(op.positive_part != 0, 0)
        s = quotient(relevance, op.positive_part, self.epsilon, self.stabiliser)
        taken = {} if op.bias_term is None else {"bias": s * op.bias_term.clamp(min=0)}
        return taken | {"dropped": lost}


def agreeing(op: AffineOp, s: Tensor) -> Tensor:
    """Return x⁺ ⊙ sᵀW⁺ + x⁻ ⊙ sᵀW⁻, what the contributions of positive sign share."""
    if op.non_negative_input:
        return op.contributions(s, op.positive_weight)
    positive = op.contributions(s, op.positive_weight, op.input.clamp(min=0))
    return positive + op.contributions(s, op.negative_weight, op.input.clamp(max=0))


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP z-plus."""
    return [
        RuleSpec(
            "z-plus",
            ZPlus,
            takes=("affine", "batch-norm"),
            conserves="up to bias and units without a positive contribution",
            cite="montavon2017",
        )
    ]
