"""Relevance maps -> feature vectors: channel sum, pooling, normalising, flattening (Lapuschkin et al. 2019).

Channel sum: r_hw = sum_c R_chw. Pooling: mean, sum or largest value of the cells of a grid. Normalisation:
r / sum|r|, because a signed sum crosses zero; a map without any relevance stays zero. Hellinger's
transformation (Legendre & Gallagher 2001) takes the root of these shares, so that a few large ones do not
decide all distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._counts import positive

Array = NDArray[Any]

_PART_BYTES = 1 << 18  # of maps normalised at a time: several steps on what stays in the cache of a core


@final
@dataclass(frozen=True)
class ChannelSum(Processor):
    """Sum relevance over channels: (N, C, H, W) -> (N, 1, H, W) float32."""

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the summed maps."""
        maps = _maps(relevance)
        return {"relevance": maps.sum(axis=1, keepdims=True, dtype=np.float32)}


@final
@dataclass(frozen=True)
class Pool(Processor):
    """Pool relevance over a grid of cells: (N, C, H, W) -> (N, C, min(H, grid), min(W, grid)) float32.

    grid: rows and columns of the grid (>= 1); a map that is already this small is passed on as it is.
    by: what remains of a cell: its "mean", "sum" or largest value, "max".
    """

    grid: int = 32
    by: Literal["mean", "sum", "max"] = "mean"

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        positive("pool", grid=self.grid)
        if self.by not in ("mean", "sum", "max"):
            raise RequestError(f"pool: by is {self.by!r}, expected mean, sum or max")

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the pooled maps."""
        maps = _maps(relevance)
        for axis in (2, 3):
            maps = _pooled(maps, axis, self.grid, self.by)
        return {"relevance": np.ascontiguousarray(maps, dtype=np.float32)}


@final
@dataclass(frozen=True)
class Normalise(Processor):
    """Divide each map by its total: (N, C, H, W) -> same shape, float32; a map without relevance stays zero.

    by: "sum" of absolute values (what remains is the share of relevance), largest absolute value "max",
        Euclidean length "l2", "z-score": less its mean, by its standard deviation; or "hellinger": the root
        of the share, with its sign.
    """

    by: Literal["sum", "max", "l2", "z-score", "hellinger"] = "sum"

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        if self.by not in ("sum", "max", "l2", "z-score", "hellinger"):
            raise RequestError(f"normalise: by is {self.by!r}, expected sum, max, l2, z-score or hellinger")

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the normalised maps."""
        maps = _maps(relevance)
        flat = maps.reshape(len(maps), int(np.prod(maps.shape[1:])))
        peak = np.maximum(
            flat.max(axis=1, initial=0.0, keepdims=True), -flat.min(axis=1, initial=0.0, keepdims=True)
        )
        bad = np.flatnonzero(~np.isfinite(peak))
        if len(bad):
            raise RequestError(
                f"normalise: {len(bad)} of {len(maps)} maps are not finite, the first in row {bad[0]}"
            )
        normalised = np.empty_like(flat)
        step = max(1, _PART_BYTES // flat[:1].nbytes) if len(flat) else 1
        for start in range(0, len(flat), step):
            rows = slice(start, start + step)
            normalised[rows] = self._normalised(flat[rows], peak[rows])
        return {"relevance": normalised.reshape(maps.shape)}

    def _normalised(self, flat: Array, peak: Array) -> Array:
        """Return some maps, one a row, by their totals; peak: (n, 1) largest absolute values."""
        # Dividing by the peak first keeps sums of huge or subnormal maps inside float32.
        unit = np.divide(flat, peak, out=np.zeros_like(flat), where=peak > 0)
        if self.by == "hellinger":
            unit = np.copysign(np.sqrt(np.abs(unit)), unit)  # of length 1 once divided by the root of the sum
        if self.by == "sum":
            total = np.abs(unit).sum(axis=1, keepdims=True)
        elif self.by in ("l2", "hellinger"):
            total = np.sqrt(np.square(unit).sum(axis=1, keepdims=True))
        elif self.by == "z-score":
            unit -= unit.mean(axis=1, keepdims=True)
            total = unit.std(axis=1, keepdims=True)
        else:
            total = np.ones_like(peak)
        return np.divide(unit, total, out=unit, where=total > 0)


@final
@dataclass(frozen=True)
class Flatten(Processor):
    """Lay each map out as one row: (N, C, H, W) -> features (N, C·H·W) float32."""

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("features",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the rows."""
        maps = _maps(relevance)
        return {"features": np.ascontiguousarray(maps.reshape(len(maps), int(np.prod(maps.shape[1:]))))}


def _maps(relevance: Array) -> Array:
    """Return `relevance` as (N, C, H, W) float32; (N, H, W) is read as one channel."""
    maps = np.asarray(relevance)
    if maps.ndim == 3:
        maps = maps[:, None]
    if maps.ndim != 4 or not all(maps.shape[1:]):
        raise RequestError(f"relevance has shape {np.shape(relevance)}, expected (N, C, H, W) or (N, H, W)")
    return maps.astype(np.float32, copy=False)


def _pooled(maps: Array, axis: int, grid: int, by: str) -> Array:
    """Pool along `axis` within `grid` cells of as equal a size as whole pixels allow."""
    size = maps.shape[axis]
    if size <= grid:
        return maps
    edges = np.linspace(0, size, grid + 1).round().astype(np.intp)
    cells = (np.maximum if by == "max" else np.add).reduceat(maps, edges[:-1], axis=axis)
    if by != "mean":
        return cells
    shape = [1] * maps.ndim
    shape[axis] = grid
    return cells / np.diff(edges).astype(np.float32).reshape(shape)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the preprocessing stages."""
    return [
        ProcessorSpec("channel-sum", ChannelSum),
        ProcessorSpec("pool", Pool),
        ProcessorSpec("normalise", Normalise, cite="lapuschkin2019"),
        ProcessorSpec("flatten", Flatten),
    ]
