"""Identity rule for element-wise operations: R_x = R, summed back where the input was broadcast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, unbroadcast
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Pass(Rule):
    """Hand relevance through unchanged: activations, scaling by constants, batch norm that was not merged."""

    def propagate(self, op: Op, relevance: Tensor) -> Tensor:
        """Return R in the input's shape."""
        return unbroadcast(relevance, op.input.shape)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the identity rule."""
    return [
        RuleSpec(
            "pass", Pass, takes=("activation", "scale", "batch-norm"), conserves="exactly", cite="bach2015"
        )
    ]
