"""Signal-takes-all rule for products (Arras et al. 2017): gates only let the signal through, which gets all.

y = g ⊙ s:  R_s = R, R_g = 0;    Y = A·V with attention weights A:  R_V = V ⊙ Aᵀ(R / st(Y)), R_A = 0
A quotient's denominator counts as a gate. Where no factor is a gate, each gets half (Achtibat et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import Op, Stabiliser, quotient, unbroadcast
from backlight.core.rule import Rule

GATES = frozenset(
    {"sigmoid", "hardsigmoid", "softmax", "rsqrt", "sqrt", "reciprocal", "norm", "vector_norm", "std"}
)
"""Operations whose output scales other values rather than being evidence of its own."""


@final
@dataclass(frozen=True)
class Gate(Rule):
    """Give the whole relevance of a product to its signal and none to its gate.

    A factor is a gate if it comes from a sigmoid, softmax, norm or the like (see `GATES`), or, where that
    does not tell, if it alone is broadcast, as channel weights are.
    epsilon, stabiliser: how a matrix product's denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return the signal's relevance, and None for the gate; halves where there is no gate."""
        share = [0.0 if gate else 1.0 for gate in gates(op)]
        share = [s / sum(share) for s in share]
        if op.site.kind == "product":
            return tuple(
                unbroadcast(relevance if s == 1 else relevance * s, x.shape) if s else None
                for s, x in zip(share, op.inputs, strict=True)
            )
        pulled = op.vjp(quotient(relevance, op.output, self.epsilon, self.stabiliser))
        return tuple(
            x * p * s if s and p is not None else None
            for s, x, p in zip(share, op.inputs, pulled, strict=True)
        )


def gates(op: Op) -> list[bool]:
    """Say of each factor whether it is a gate; at least one is not."""
    if op.site.name == "div":
        return [False, *(True for _ in op.inputs[1:])]
    found = [origin in GATES for origin in op.origins]
    if op.site.kind == "product" and not any(found):
        found = [x.numel() < op.output.numel() for x in op.inputs]
    return [False for _ in op.inputs] if all(found) else found


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the signal-takes-all rule."""
    return [
        RuleSpec("gate", Gate, takes=("product", "matmul"), conserves="up to epsilon", cite="arras2017"),
    ]
