"""LRP alpha-beta (Bach et al. 2015, eq. 60): positive and negative contributions share relevance apart.

s_a = R / st(x⁺·W⁺ + x⁻·W⁻ + b⁺),  s_b = R / st(x⁺·W⁻ + x⁻·W⁺ + b⁻)
R_x = α(x⁺ ⊙ s_aᵀW⁺ + x⁻ ⊙ s_aᵀW⁻) − β(x⁺ ⊙ s_bᵀW⁻ + x⁻ ⊙ s_bᵀW⁺)
Where no input is negative, the negative denominator follows by linearity: it is z minus the positive one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule
from backlight.plugins.rules.zplus import agreeing


@final
@dataclass(frozen=True)
class AlphaBeta(Rule):
    """Weigh positive contributions by `alpha` and negative ones by `beta`.

    alpha, beta: weights, alpha - beta = 1 and both >= 0; ValueError otherwise.
    epsilon, stabiliser: how denominators are kept from zero.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    alpha: float = 2.0
    beta: float = 1.0
    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"
    zero_params: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(
                f"alpha is {self.alpha} and beta {self.beta}, expected alpha - beta = 1 and both at least 0"
            )

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance; two maps forward and two back when no input is negative."""
        op = op.without(self.zero_params)
        # Each quotient is freed before the next is made: at the first layers of a network they are large.
        share = agreeing(
            op, self.alpha * quotient(relevance, op.positive_part, self.epsilon, self.stabiliser)
        )
        if self.beta == 0:
            return share
        return share - _opposing(
            op, self.beta * quotient(relevance, op.negative_part, self.epsilon, self.stabiliser)
        )

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what the bias takes, and what units keep that have no contribution of a sign."""
        op = op.without(self.zero_params)
        up = quotient(relevance, op.positive_part, self.epsilon, self.stabiliser) * self.alpha
        down = quotient(relevance, op.negative_part, self.epsilon, self.stabiliser) * -self.beta
        lost = (relevance * self.alpha).masked_fill(op.positive_part != 0, 0)
        lost = lost - (relevance * self.beta).masked_fill(op.negative_part != 0, 0)
        if op.bias_term is None:
            return {"dropped": lost}
        return {"bias": up * op.bias_term.clamp(min=0) + down * op.bias_term.clamp(max=0), "dropped": lost}


def _opposing(op: AffineOp, s: Tensor) -> Tensor:
    """Return x⁺ ⊙ sᵀW⁻ + x⁻ ⊙ sᵀW⁺."""
    if op.non_negative_input:
        return op.contributions(s, op.negative_weight)
    negative = op.contributions(s, op.negative_weight, op.input.clamp(min=0))
    return negative + op.contributions(s, op.positive_weight, op.input.clamp(max=0))


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP alpha-beta."""
    return [
        RuleSpec(
            "alpha-beta",
            AlphaBeta,
            takes=("affine", "batch-norm"),
            conserves="up to bias and units without a contribution of each sign",
            cite="bach2015",
        )
    ]
