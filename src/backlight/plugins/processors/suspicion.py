"""Suspicion: what classes are ranked by, contrast discounted by homophily.

Contrast says how much a strategy shows that the rest of its class does not; a handful of maps that are alike
by chance have it too. Homophily says what share of neighbourhoods respects the split, beyond chance; a class
that falls in two for good reasons has it too. A strategy of its own has both: suspicion is their product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage


@final
@dataclass(frozen=True)
class Suspicion(Processor):
    """Multiply: contrast, homophily -> suspicion, at least 0."""

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("suspicion",)

    def __call__(self, *, contrast: float, homophily: float) -> dict[str, float]:
        """Return the product of what is above chance."""
        return {"suspicion": max(0.0, float(contrast)) * max(0.0, float(homophily))}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer suspicion."""
    return [ProcessorSpec("suspicion", Suspicion)]
