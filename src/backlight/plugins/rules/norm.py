"""Proportional rule for sums, means and the like, linear without weights: R_x = x ⊙ VJP(R / st(op(x)))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Norm(Rule):
    """Share relevance among the summands in proportion to their values; a constant summand absorbs its share.

    epsilon, stabiliser: how the denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return one relevance per operand, summed back over broadcast axes."""
        s = quotient(relevance, op.output, self.epsilon, self.stabiliser)
        pulled = op.vjp(s)
        shares = [None if p is None else x * p for x, p in zip(op.inputs[:-1], pulled, strict=False)]
        x, last = op.inputs[-1], pulled[-1]
        if last is s and not torch.is_grad_enabled():  # a plain addend: the quotient's memory is free now
            return (*shares, s.mul_(x))
        return (*shares, None if last is None else x * last)

    def absorbed(self, op: Op, relevance: Tensor) -> dict[str, Tensor]:
        """Return what constant summands take."""
        s = quotient(relevance, op.output, self.epsilon, self.stabiliser)
        shares = [(x * p).sum() for x, p in zip(op.inputs, op.vjp(s), strict=True) if p is not None]
        return {"constant": (s * op.output).sum() - torch.stack(shares).sum()}


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the proportional rule."""
    return [
        RuleSpec(
            "norm",
            Norm,
            takes=("sum", "average-pool"),
            conserves="up to epsilon and constants",
            cite="bach2015",
        )
    ]
