"""Neighbours by structural similarity (Wang et al. 2004) and by any metric of scipy, in blocks, exactly.

SSIM of two maps is the mean over windows of (2μμ' + c₁)(2σ_xy + c₂) / ((μ² + μ'² + c₁)(σ² + σ'² + c₂)); a
similarity s enters as the distance 1 − s. c₁ = (0.01·L)², c₂ = (0.03·L)² with L the range of all values.
Windows do not overlap, so that the covariances of all pairs are one matrix product per window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._counts import positive

Array = NDArray[Any]

_BLOCK = 512


@final
@dataclass(frozen=True)
class MetricKnn(Processor):
    """Find nearest others by any metric of scipy: features (N, D) -> neighbours, distances, both (N, k).

    Compares all pairs one by one: for Euclidean, cosine and correlation distance take `knn`.

    k: number of neighbours (>= 1). metric: a name that scipy.spatial.distance.cdist knows.
    """

    k: int = 32
    metric: str = "cityblock"

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances")

    def __post_init__(self) -> None:
        positive("metric-knn", k=self.k)
        try:
            cdist(np.ones((1, 2)), np.ones((1, 2)) * 2, self.metric)
        except (ValueError, TypeError) as error:
            raise RequestError(f"metric-knn: metric {self.metric!r}: {error}") from error

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the neighbours, nearest first, ties by index."""
        points = np.asarray(features, dtype=np.float64)
        return _nearest(len(points), self.k, lambda rows: cdist(points[rows], points, self.metric))


@final
@dataclass(frozen=True)
class SsimKnn(Processor):
    """Find the most similar others by SSIM: relevance (N, C, H, W) -> neighbours, distances, both (N, k).

    k: number of neighbours (>= 1). window: side of the windows; maps are cut where they are no multiple.
    """

    k: int = 32
    window: int = 4

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances")

    def __post_init__(self) -> None:
        if self.k < 1 or self.window < 2:
            raise RequestError(f"{self}: expected k >= 1 and window >= 2")

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the neighbours, most similar first, ties by index."""
        windows = _windows(np.asarray(relevance, dtype=np.float64), self.window)
        mean = windows.mean(axis=2)
        centred = windows - mean[..., None]
        variance = np.square(centred).mean(axis=2)
        spread = float(np.ptp(relevance)) if np.size(relevance) else 0.0
        c1, c2 = (max((s * spread) ** 2, 1e-30) for s in (0.01, 0.03))

        def distances(rows: slice) -> Array:
            total = np.zeros((len(mean[0, rows]), mean.shape[1]))
            for m, v, x in zip(mean, variance, centred, strict=True):
                covariance = x[rows] @ x.T / x.shape[1]
                means, squares = np.outer(m[rows], m), np.add.outer(m[rows] ** 2, m**2)
                spreads = np.add.outer(v[rows], v)
                total += (2 * means + c1) * (2 * covariance + c2) / ((squares + c1) * (spreads + c2))
            return 1 - total / len(mean)

        return _nearest(windows.shape[1], self.k, distances)


def _windows(maps: Array, side: int) -> Array:
    """Return (windows, N, side²) values of channel-summed maps; a smaller map is one window."""
    if maps.ndim != 4:
        raise RequestError(f"ssim-knn: relevance has shape {maps.shape}, expected (N, C, H, W)")
    grey = maps.sum(axis=1)
    height, width = (min(side, size) for size in grey.shape[1:])
    rows, columns = grey.shape[1] // height, grey.shape[2] // width
    cut = grey[:, : rows * height, : columns * width].reshape(len(grey), rows, height, columns, width)
    return cut.transpose(1, 3, 0, 2, 4).reshape(rows * columns, len(grey), height * width)


def _nearest(n: int, k: int, distances: Any) -> dict[str, Array]:
    """Return the k nearest others of n samples; `distances(rows)` gives those of a slice to all."""
    k = max(0, min(k, n - 1))
    index, values = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    for start in range(0, n if k else 0, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        block = distances(rows)
        if not np.isfinite(block).all():
            raise RequestError("a distance is not finite: is a map constant or not finite itself?")
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        index[rows] = np.argsort(block, axis=1, kind="stable")[:, :k]
        values[rows] = np.take_along_axis(block, index[rows].astype(np.int64), axis=1)
    return {"neighbours": index, "distances": values}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer both."""
    return [ProcessorSpec("metric-knn", MetricKnn), ProcessorSpec("ssim-knn", SsimKnn, cite="wang2004")]
