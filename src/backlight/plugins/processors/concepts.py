"""Concept space: a layer's channels as concepts, each with its share of what speaks for the class.

The relevance of a concept is the sum of its channel's relevance over places (Achtibat et al. 2023, CRP). What
an artefact does everywhere in a picture, a cast or a texture, is nowhere in a heatmap but is a channel here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Concepts(Processor):
    """Sum a layer's relevance over places: (N, C) or (N, C, …) -> (N, C, 1, 1) float32.

    signed: keep what speaks against the class too; otherwise it is left out before summing.
    """

    signed: bool = False

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the relevance of every concept."""
        values = np.asarray(relevance)
        if values.ndim < 2 or not all(values.shape[1:]):
            raise RequestError(f"concepts: relevance has shape {values.shape}, expected (N, C) or (N, C, …)")
        kept = values if self.signed else np.maximum(values, 0)
        summed = kept.sum(axis=tuple(range(2, values.ndim)), dtype=np.float32)
        return {"relevance": summed[:, :, None, None]}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer concepts."""
    return [ProcessorSpec("concepts", Concepts, cite="achtibat2023")]
