"""SmoothGrad (Smilkov et al. 2017): the mean explanation of noisy copies of the input.

R = mean over draws of R(x + σ·n), n ~ N(0, 1), σ = noise · (max x − min x) of each sample.
All samples share the draws, so that a sample's explanation does not depend on its batch.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.interception.inputs import structured
from backlight.core.processor import Processor, Stage
from backlight.core.targets import repeated
from backlight.plugins.processors._copies import chunks, combine, floating, length
from backlight.plugins.processors._counts import positive


@final
@dataclass(frozen=True)
class SmoothGrad(Processor):
    """Average the gradient, or LRP under the explainer's composite, over noisy copies of the input.

    noise: standard deviation in units of each sample's range. draws: number of copies.
    seed: of the noise. batch_size: samples in one forward pass, draws of all samples together.
    """

    noise: float = 0.1
    draws: int = 20
    seed: int = 0
    batch_size: int = 64

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance", "layers")

    def __post_init__(self) -> None:
        positive("smooth-grad", draws=self.draws, batch_size=self.batch_size)
        if self.noise < 0:
            raise RequestError(f"smooth-grad: noise is {self.noise}, expected 0 or more")

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the mean relevance of the inputs, (N, K, *input), and of the layers asked for."""
        floating(inputs, "smooth-grad")
        batch, again = length(inputs), differentiate.evaluate(inputs, target).again
        numbers = itertools.count(self.seed)
        generators = structured(inputs, lambda _: torch.Generator().manual_seed(next(numbers)))
        total, layers = None, dict.fromkeys(differentiate.layers, torch.zeros(()))
        for draws in chunks(self.draws, batch, self.batch_size):
            count = len(draws)

            def mean(relevance: Tensor, count: int = count) -> Tensor:
                return relevance.unflatten(0, (batch, count)).sum(1) / self.draws

            noisy = combine(inputs, generators, lambda x, g, n=count: self._noisy(x, n, g))
            passed = differentiate(noisy, repeated(again, count))
            part = structured(passed.relevance, mean)
            total = part if total is None else combine(total, part, torch.add)
            layers = {name: so_far + mean(passed.layers[name]) for name, so_far in layers.items()}
        return {"relevance": total, "layers": layers}

    def _noisy(self, x: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return (N · count, *input) noisy copies; whole numbers are copied as they are."""
        x = x.detach()
        if not x.is_floating_point():
            return x.repeat_interleave(count, 0)
        flat = x.flatten(1)
        scale = self.noise * (flat.amax(1) - flat.amin(1)).reshape(-1, 1, *(1 for _ in x.shape[1:]))
        # One draw at a time, so that the noise does not depend on how draws are cut into forward passes.
        draws = [torch.randn(x.shape[1:], generator=generator, dtype=torch.float64) for _ in range(count)]
        noise = torch.stack(draws).to(x)
        return (x[:, None] + scale * noise).flatten(0, 1)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer SmoothGrad."""
    return [ProcessorSpec("smooth-grad", SmoothGrad, cite="smilkov2017")]
