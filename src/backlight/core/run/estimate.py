"""What a run will cost, from one batch of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import final

from backlight.core.coverage import Coverage
from backlight.core.explainer import Explainer
from backlight.core.run.attributing import try_one
from backlight.core.run.explaining import explain_batch
from backlight.core.run.reading import read_batch
from backlight.core.run.settings import Settings
from backlight.core.sources.data import Source


@final
@dataclass(frozen=True)
class Estimate:
    """Time and disk of a whole run. size: bytes before compression, so an upper bound."""

    samples: int
    seconds: float
    size: int
    coverage: Coverage


def estimate(explainer: Explainer, source: Source, settings: Settings) -> Estimate:
    """Explain one batch, keep nothing, and scale up what it took."""
    shape, coverage = try_one(explainer, source, settings)
    numbers = range(min(settings.batch_size, len(source)))
    start = time.perf_counter()
    batch = read_batch(source, settings, numbers, shape)
    rows = explain_batch(explainer, settings, batch)
    seconds = (time.perf_counter() - start) / len(numbers)
    explained = max(len(rows.arrays.get("index", ())), 1)
    size = sum(array.nbytes for array in rows.arrays.values()) / explained + batch.pictures.nbytes / len(
        numbers
    )
    return Estimate(len(source), seconds * len(source), round(size * len(source)), coverage)
