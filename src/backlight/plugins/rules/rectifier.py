"""Modified gradients of ReLU.

deconvnet (Zeiler & Fergus 2014): R_x = R⁺
guided-backprop (Springenberg et al. 2015): R_x = 1[x>0] ⊙ R⁺
beta-smooth (Dombrowski et al. 2019): R_x = σ(βx) ⊙ R, the gradient of softplus(βx)/β
Each keeps other activations' own gradients.
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
class Deconvnet(Rule):
    """Let positive gradients through a ReLU, whether it was active or not."""

    def propagate(self, op: Op, relevance: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """Return R⁺."""
        return relevance.clamp(min=0) if op.site.name == "relu" else op.vjp(relevance)


@final
@dataclass(frozen=True)
class GuidedBackprop(Rule):
    """Let positive gradients through a ReLU where it was active."""

    def propagate(self, op: Op, relevance: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """Return 1[x>0] ⊙ R⁺."""
        if op.site.name != "relu":
            return op.vjp(relevance)
        return relevance.clamp(min=0).masked_fill(op.input <= 0, 0)


@final
@dataclass(frozen=True)
class BetaSmooth(Rule):
    """Take the gradient of a softplus in the place of a ReLU's.

    beta: sharpness of the softplus; the larger, the closer to ReLU.
    """

    beta: float = 10.0

    def propagate(self, op: Op, relevance: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """Return σ(βx) ⊙ R."""
        return relevance * (op.input * self.beta).sigmoid() if op.site.name == "relu" else op.vjp(relevance)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the modified gradients of ReLU."""
    return [
        _spec("deconvnet", Deconvnet, "zeiler2014"),
        _spec("guided-backprop", GuidedBackprop, "springenberg2015"),
        _spec("beta-smooth", BetaSmooth, "dombrowski2019"),
    ]


def _spec(name: str, factory: type[Rule], cite: str) -> RuleSpec:
    conserves = "nothing: it modifies a gradient"
    return RuleSpec(name, factory, takes=("activation",), conserves=conserves, gradient=True, cite=cite)
