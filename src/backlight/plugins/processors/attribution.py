"""The plain attribution methods (Baehrens et al. 2010; Shrikumar et al. 2016).

gradient: ∂f/∂x, which is LRP when the explainer has a composite (Bach et al. 2015).
input-x-gradient: x ⊙ ∂f/∂x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._copies import combine, floating


@final
@dataclass(frozen=True)
class Gradient(Processor):
    """One backward pass: the gradient of the output, or LRP under the explainer's composite."""

    differentiable: ClassVar[bool] = True
    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance", "layers")

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the inputs, (N, K, *input), and of the layers asked for."""
        passed = differentiate(inputs, target)
        return {"relevance": passed.relevance, "layers": passed.layers}


@final
@dataclass(frozen=True)
class InputXGradient(Processor):
    """The input times the gradient, or times the gradient as the explainer's composite modifies it."""

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance", "layers")

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return input ⊙ gradient, (N, K, *input), and the same of the layers asked for."""
        floating(inputs, "input-x-gradient")
        passed = differentiate(inputs, target, unit=True)
        relevance = combine(inputs, passed.relevance, lambda x, slope: x.detach()[:, None] * slope)
        layers = {name: passed.activations[name][:, None] * slope for name, slope in passed.layers.items()}
        return {"relevance": relevance, "layers": layers}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the gradient and the input times the gradient."""
    return [
        ProcessorSpec("gradient", Gradient, cite="baehrens2010"),
        ProcessorSpec("input-x-gradient", InputXGradient, cite="shrikumar2016"),
    ]
