"""Integrated Gradients (Sundararajan et al. 2017), by the midpoint rule.

R = (x − x₀) ⊙ mean over k of ∂f/∂x at x₀ + (k + ½)/steps · (x − x₀).  Complete: R sums to f(x) − f(x₀).
A layer's output h does not go straight; its relevance is ∫ ∂f/∂h ⊙ dh along its way (Dhamdhere et al. 2019),
by the trapezoidal rule over the same points and both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.interception.inputs import structured
from backlight.core.processor import Processor, Stage
from backlight.core.targets import repeated
from backlight.plugins.processors._copies import chunks, combine, floating, length
from backlight.plugins.processors._counts import positive


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
    yields: ClassVar[tuple[str, ...]] = ("relevance", "layers")

    def __post_init__(self) -> None:
        positive("integrated-gradients", steps=self.steps, batch_size=self.batch_size)

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the inputs, (N, K, *input), and of the layers asked for."""
        floating(inputs, "integrated-gradients")
        batch, again = length(inputs), differentiate.evaluate(inputs, target).again
        total = None
        ways = self._ways(differentiate, inputs, again, batch)
        for steps in chunks(self.steps, batch, self.batch_size):
            count = len(steps)

            def mean(slope: Tensor, count: int = count) -> Tensor:
                return slope.unflatten(0, (batch, count)).sum(1) / self.steps

            on_the_way = structured(inputs, lambda x, s=steps: self._on_the_way(x, s))
            passed = differentiate(on_the_way, repeated(again, count), unit=True)
            part = structured(passed.relevance, mean)
            total = part if total is None else combine(total, part, torch.add)
            for name, way in ways.items():
                way.go(passed.activations[name], passed.layers[name], batch)
        relevance = combine(inputs, total, lambda x, slope: self._difference(x) * slope)
        return {"relevance": relevance, "layers": {name: way.end() for name, way in ways.items()}}

    def _ways(self, differentiate: Differentiator, inputs: Any, again: Any, batch: int) -> dict[str, _Way]:
        """Return the ways of the layers asked for, at their beginnings."""
        if not differentiate.layers:
            return {}
        ends = structured(inputs, self._ends)
        found = differentiate(ends, repeated(again, 2), unit=True).activations
        return {name: _Way(*h.unflatten(0, (batch, 2)).unbind(1)) for name, h in found.items()}

    def _ends(self, x: Tensor) -> Tensor:
        """Return baseline and input of every sample, (N · 2, *input)."""
        x = x.detach()
        first = torch.full_like(x, self.baseline) if x.is_floating_point() else x
        return torch.stack([first, x], 1).flatten(0, 1)

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


@dataclass
class _Way:
    """The way of a layer's output from `at` to `goal`, (N, *layer), and ∫ ∂f/∂h ⊙ dh so far."""

    at: Tensor
    goal: Tensor
    slope: Tensor | None = None
    total: Tensor | float = 0.0

    def go(self, outputs: Tensor, slopes: Tensor, batch: int) -> None:
        """Go on through the next points, (N · steps, *layer), with slopes (N · steps, K, *layer)."""
        for h, slope in zip(
            outputs.unflatten(0, (batch, -1)).unbind(1),
            slopes.unflatten(0, (batch, -1)).unbind(1),
            strict=True,
        ):
            mean = slope if self.slope is None else (self.slope + slope) / 2
            self.total = self.total + mean * (h - self.at)[:, None]
            self.at, self.slope = h, slope

    def end(self) -> Tensor:
        """Go to the goal and return the whole, (N, K, *layer)."""
        assert self.slope is not None
        return self.total + self.slope * (self.goal - self.at)[:, None]


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer Integrated Gradients."""
    return [ProcessorSpec("integrated-gradients", IntegratedGradients, cite="sundararajan2017")]
