"""Integrated Gradients (Sundararajan et al. 2017), by the midpoint rule.

R = (x − x₀) ⊙ mean over k of ∂f/∂x at x₀ + (k + ½)/steps · (x − x₀).  Complete: R sums to f(x) − f(x₀).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from backlight.core.differentiation import Differentiator, structured
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.core.targets import repeated
from backlight.plugins.processors._copies import chunks, combine, floating, length, positive


@final
@dataclass(frozen=True)
class IntegratedGradients(Processor):
    """Average the gradient along the straight way from a baseline to the input, times their difference.

    steps: points on the way. baseline: value of the featureless input.
    batch_size: samples in one forward pass, steps of all samples together.
    """

    steps: int = 20
    baseline: float = 0.0
    batch_size: int = 64

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        positive(steps=self.steps, batch_size=self.batch_size)

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the inputs, (N, K, *input)."""
        floating(inputs, "integrated-gradients")
        batch, again = length(inputs), differentiate.evaluate(inputs, target).again
        total = None
        for steps in chunks(self.steps, batch, self.batch_size):
            count = len(steps)

            def mean(slope: Tensor, count: int = count) -> Tensor:
                return slope.unflatten(0, (batch, count)).sum(1) / self.steps

            on_the_way = structured(inputs, lambda x, s=steps: self._on_the_way(x, s))
            passed = differentiate(on_the_way, repeated(again, count), unit=True)
            part = structured(passed.relevance, mean)
            total = part if total is None else combine(total, part, torch.add)
        return {"relevance": combine(inputs, total, lambda x, slope: self._difference(x) * slope)}

    def _on_the_way(self, x: Tensor, steps: range) -> Tensor:
        """Return (N · steps, *input) points; whole numbers stay at the input."""
        x = x.detach()
        if not x.is_floating_point():
            return x.repeat_interleave(len(steps), 0)
        at = torch.tensor([(k + 0.5) / self.steps for k in steps], dtype=torch.float64).to(x)
        at = at.reshape(-1, *(1 for _ in x.shape[1:]))
        return (self.baseline + at * (x - self.baseline)[:, None]).flatten(0, 1)

    def _difference(self, x: Tensor) -> Tensor:
        return (x.detach() - self.baseline)[:, None]


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer Integrated Gradients."""
    return [ProcessorSpec("integrated-gradients", IntegratedGradients, cite="sundararajan2017")]
