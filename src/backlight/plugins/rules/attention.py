"""Softmax rule (Achtibat et al. 2024, prop. 3.1), the first-order Taylor expansion at x.

R_x = x ⊙ (R − s · ΣR), s = softmax(x); positions masked with −∞ get nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Softmax(Rule):
    """Hand relevance of softmax weights to their logits; the expansion's constant term absorbs the rest."""

    def propagate(self, op: Op, relevance: Tensor) -> Tensor:
        """Return x ⊙ (R − s·ΣR) along the softmax's axis."""
        dim = _axis(op)
        share = relevance - op.output * relevance.sum(dim, keepdim=True)
        return (op.input * share).masked_fill(op.input.isneginf(), 0)

    def absorbed(self, op: Op, relevance: Tensor) -> dict[str, Tensor]:
        """Return the constant term's share: of s = Jx + c it is c / s = 1 − (x − s·x)."""
        logits = op.input.masked_fill(op.input.isneginf(), 0)
        linear = logits - (op.output * logits).sum(_axis(op), keepdim=True)
        return {"constant": relevance * (1 - linear)}


def _axis(op: Op) -> int:
    given: int | None = op.arguments["dim"]
    if given is not None:
        return given
    return 0 if op.input.ndim in (0, 1, 3) else 1  # the deprecated implicit axis


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the softmax rule."""
    return [
        RuleSpec(
            "softmax",
            Softmax,
            takes=("softmax",),
            conserves="up to the constant term of the expansion",
            cite="achtibat2024",
        )
    ]
