"""Uniform rule for a product of two signals (Achtibat et al. 2024): each factor gets half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, unbroadcast
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Half(Rule):
    """Split relevance evenly between the factors of an element-wise product."""

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor, ...]:
        """Return R / (number of factors) for each factor, summed back over broadcast axes."""
        return tuple(unbroadcast(relevance / len(op.inputs), x.shape) for x in op.inputs)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the uniform product rule."""
    return [RuleSpec("half", Half, takes=("product",), conserves="exactly", cite="achtibat2024")]
