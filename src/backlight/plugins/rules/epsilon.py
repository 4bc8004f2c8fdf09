"""LRP-epsilon (Bach et al. 2015, eq. 58): R_i = x_i · sum_j w_ij · R_j / st(z_j)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Epsilon(Rule):
    """Share relevance in proportion to each input's contribution; `epsilon` damps weak ones.

    epsilon, stabiliser: how the denominator is kept from zero; epsilon 0 gives LRP-0.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return x ⊙ (R / st(z))ᵀW."""
        op = op.without(self.zero_params)
        return op.contributions(quotient(relevance, op.output, self.epsilon, self.stabiliser))

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what the bias takes."""
        op = op.without(self.zero_params)
        if op.bias_term is None:
            return {}
        return {"bias": quotient(relevance, op.output, self.epsilon, self.stabiliser) * op.bias_term}


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP-epsilon."""
    return [
        RuleSpec(
            "epsilon",
            Epsilon,
            takes=("affine", "batch-norm"),
            conserves="up to epsilon and bias",
            cite="bach2015",
        )
    ]
