"""Histogram of a map's values over bins that all maps share: what relevance there is, wherever it lies."""

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
class Histogram(Processor):
    """Count values per channel: (N, C, H, W) -> features (N, C·bins) float32, sums 1 per channel.

    Bins are of equal width between the quantiles `tail` and 1 - `tail` of all maps' values of a channel; the
    outermost hold the rest.

    bins: number of bins (>= 2). tail: share of values beyond either end, in [0, 0.5).
    """

    bins: int = 64
    tail: float = 0.001

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("features",)

    def __post_init__(self) -> None:
        if self.bins < 2 or not 0 <= self.tail < 0.5:
            raise RequestError(f"{self}: expected bins >= 2 and tail in [0, 0.5)")

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the histograms."""
        maps = np.asarray(relevance, dtype=np.float32)
        if maps.ndim != 4:
            raise RequestError(f"histogram: relevance has shape {maps.shape}, expected (N, C, H, W)")
        n, channels = maps.shape[:2]
        values = maps.reshape(n, channels, maps.shape[2] * maps.shape[3])
        counted = [self._counts(values[:, c]) for c in range(channels)] if n else [np.zeros((0, self.bins))]
        return {"features": np.concatenate(counted, axis=1).astype(np.float32)}

    def _counts(self, values: Array) -> Array:
        """Return (N, bins) shares of (N, P) values."""
        low, high = np.quantile(values, [self.tail, 1 - self.tail])
        width = (high - low) / self.bins or 1.0
        chosen = np.clip(((values - low) / width).astype(np.int64), 0, self.bins - 1)
        n, rows = len(values), np.arange(len(values))[:, None] * self.bins
        counts = np.bincount((rows + chosen).ravel(), minlength=n * self.bins).reshape(n, self.bins)
        return counts / max(values.shape[1], 1)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer histograms."""
    return [ProcessorSpec("histogram", Histogram)]
