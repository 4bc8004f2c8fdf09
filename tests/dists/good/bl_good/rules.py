"""A rule that shares relevance by the size of contributions, whatever their sign."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, stabilize
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Absolute(Rule):
    """Share relevance by the size of contributions."""

    epsilon: float = 1e-6

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:
        return op.input * op.transpose(relevance / stabilize(op.output, self.epsilon))

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:
        taken = relevance / stabilize(op.output, self.epsilon)
        return {} if op.bias_term is None else {"bias": taken * op.bias_term}


@hookimpl
def provide_rules() -> list[RuleSpec]:
    return [RuleSpec("absolute", Absolute, conserves="up to epsilon and bias")]
