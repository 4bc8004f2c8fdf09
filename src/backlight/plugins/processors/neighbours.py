"""Exact k nearest neighbours in blocks: float32 matrix products select, exact distances decide.

|x − y|² = |x|² + |y|² − 2·x·y is cheap but cancels; its rounding error is about √d·ε·|x||y| (Higham &
Mary 2019, "A new approach to probabilistic rounding error analysis"). So every point whose approximate
distance lies within that margin of the k-th is measured again by its coordinates, and the k nearest of
these, ties broken by index, are the answer. Memory: O(n·k + tile²), never n².
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Literal, final, get_args

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.core.threads import shared
from backlight.plugins.processors._tiles import nearest_in_tiles

Array = NDArray[Any]
Metric = Literal["euclidean", "cosine", "correlation"]

_TILE = 1024
_SPARE = 16
_SHORT = 8192  # below what a BLAS would share among threads, and so sum in another order
_PART_BYTES = 1 << 20  # of what is worked on at a time: it stays in the caches of a core


@final
@dataclass(frozen=True)
class Knn(Processor):
    """Find each sample's k nearest others: features (N, D) -> neighbours, distances, both (N, k).

    Nearest first, ties by index; a sample is never its own neighbour, its duplicates are. k is at most N - 1.

    k: number of neighbours (>= 1).
    metric: "euclidean", "cosine" (1 - cosine similarity) or "correlation" (1 - Pearson's r); a sample that is
    zero, for correlation constant, has distance 1, up to rounding, to all but its like.
    """

    k: int = 32
    metric: Metric = "euclidean"

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances")

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RequestError(f"knn: k is {self.k}, expected at least 1")
        if self.metric not in get_args(Metric):
            raise RequestError(
                f"knn: metric is {self.metric!r}, expected one of {', '.join(get_args(Metric))}"
            )

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Find the neighbours tile by tile."""
        points = prepared(features, self.metric)
        k = max(0, min(self.k, len(points) - 1))
        if k == 0:
            none = np.zeros((len(points), 0))
            return {"neighbours": none.astype(np.int32), "distances": none.astype(np.float32)}
        unique, group = _without_duplicates(points)
        if unique is points:
            neighbours, squared = _nearest(points, k)
        else:
            neighbours, squared = _with_duplicates(unique, group, k)
        distances = squared / 2 if self.metric != "euclidean" else np.sqrt(squared)
        return {"neighbours": neighbours.astype(np.int32), "distances": distances.astype(np.float32)}


def prepared(features: Array, metric: Metric) -> Array:
    """Return contiguous float32 points whose squared Euclidean distance has the order of `metric`."""
    if features.ndim != 2:
        raise RequestError(f"knn: features have shape {features.shape}, expected (N, D)")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise RequestError(
            f"knn: {len(bad)} of {len(features)} samples are not finite, the first in row {bad[0]}"
        )
    if metric == "euclidean":
        return np.ascontiguousarray(features, dtype=np.float32)
    points = np.array(features, dtype=np.float32, order="C")
    whole = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
    if metric == "correlation":
        points -= points.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
    none = length <= 1e-6 * whole  # what is left of a constant map is rounding
    points /= np.where(none, 1, length)[:, None]
    if none.any():  # a direction of their own, at right angles to all others
        points[none] = 0
        points = np.hstack([points, none[:, None].astype(np.float32)])
    return points


def _nearest(points: Array, k: int) -> tuple[Array, Array]:
    """Return (n, k) indices and squared distances of the nearest others, for pairwise different points."""
    row, column, squared = _candidates(points, k)
    chosen = np.searchsorted(row, np.arange(len(points)))[:, None] + np.arange(k)
    return column[chosen], squared[chosen]


def _candidates(points: Array, k: int) -> tuple[Array, Array, Array]:
    """Return pairs (row, column, squared distance) among which are each row's k nearest others and all ties.

    By row, then distance, then column; exact for the pairs listed.
    """
    n, d = points.shape
    mean, norms = points.mean(axis=0), np.einsum("ij,ij->i", points, points)
    centred = points
    if mean @ mean > norms.mean() / 2:  # far from the origin: around the mean less cancels
        centred = points - mean
        norms = np.einsum("ij,ij->i", centred, centred)
    tiles = [slice(start, min(start + _TILE, n)) for start in range(0, n, _TILE)]
    pairs = combinations_with_replacement(tiles, 2)
    approximate, index = nearest_in_tiles(centred, norms, min(n - 1, k + _SPARE), pairs)
    limit = farthest(approximate, norms, d, k)
    row, column = np.nonzero(approximate <= limit[:, None])
    column = index[row, column]
    crowded = np.flatnonzero(approximate.max(axis=1) <= limit) if index.shape[1] < n - 1 else np.zeros(0, int)
    if len(crowded):  # more points within the margin than were kept: look at all of them
        extra_row, extra_column = _within(centred, norms, crowded, limit)
        other = ~np.isin(row, crowded)
        row, column = np.concatenate([row[other], extra_row]), np.concatenate([column[other], extra_column])
    squared = pair_distances(points, row, column)
    order = np.lexsort((column, squared, row))
    return row[order], column[order], squared[order]


def farthest(approximate: Array, norms: Array, d: int, k: int) -> Array:
    """Return how large an approximate squared distance may be, (n,), for the pair to be among the k nearest.

    approximate: (n, k or more), of points with these squared lengths in d dimensions.
    """
    margin = 8 * (np.sqrt(d) + 4) * np.finfo(np.float32).eps * np.sqrt(norms * norms.max())
    return np.asarray(np.partition(approximate, k - 1, axis=1)[:, k - 1] + margin)


def _within(points: Array, norms: Array, rows: Array, limit: Array) -> tuple[Array, Array]:
    """Return (row, column) of every pair that is approximately closer than its row's limit."""
    pairs = []
    for start in range(0, len(rows), _TILE):
        block = rows[start : start + _TILE]
        approximate = norms - 2 * (points[block] @ points.T)
        approximate[np.arange(len(block)), block] = np.inf
        row, column = np.nonzero(approximate <= limit[block, None])
        pairs.append((block[row], column))
    return np.concatenate([row for row, _ in pairs]), np.concatenate([column for _, column in pairs])


def pair_distances(points: Array, left: Array, right: Array) -> Array:
    """Return |x_l - x_r|² of index pairs from the coordinates, (p,) float64; (l, r) and (r, l) cost one."""
    n, d = points.shape
    pairs, place = np.unique(np.minimum(left, right) * n + np.maximum(left, right), return_inverse=True)
    first, second = np.divmod(pairs, n)
    squared = np.empty(len(pairs))
    step = max(1, _PART_BYTES // (4 * d))

    def measure(start: int) -> None:
        chosen = slice(start, start + step)
        difference = _rows(points, second[chosen]) - _rows(points, first[chosen])
        squared[chosen] = _squared_lengths(difference)

    for _ in shared(measure, range(0, len(pairs), step)):
        pass
    return squared[place]


def _squared_lengths(rows: Array) -> Array:
    """Return (p,) float64 sums of short float32 dot products, which no long one is as exact as."""
    whole = rows.shape[1] // _SHORT * _SHORT
    parts, rest = rows[:, :whole].reshape(len(rows), whole // _SHORT, _SHORT), rows[:, whole:]
    return np.asarray(_dots(parts).sum(axis=1, dtype=np.float64) + _dots(rest))


def _dots(vectors: Array) -> Array:
    return np.asarray(vectors[..., None, :] @ vectors[..., None])[..., 0, 0]


def _rows(points: Array, index: Array) -> Array:
    """Return these rows; a single one without copying it, as long rows are."""
    return points[index[0] : index[0] + 1] if len(index) == 1 else points[index]


def _without_duplicates(points: Array) -> tuple[Array, Array]:
    """Return the different points, `points` itself if all are, and for every point which of them it is."""
    n, d = points.shape
    weights = np.random.default_rng(0).integers(1, 2**32, d, dtype=np.uint32)
    step = max(1, _PART_BYTES // (4 * d))
    blocks = (points[start : start + step] + 0.0 for start in range(0, n, step))  # -0.0 is 0.0
    keys = np.concatenate([block.view(np.uint32) @ weights for block in blocks])
    _, key, times = np.unique(keys, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(times[key] > 1)
    representative = np.arange(n)
    if len(alike):  # equal hashes: compare these rows, and no others, byte by byte
        rows = (points[alike] + 0.0).view(np.void(points.dtype.itemsize * d).dtype).ravel()
        _, first, same = np.unique(rows, return_index=True, return_inverse=True)
        representative[alike] = alike[first[same]]
    chosen, group = np.unique(representative, return_inverse=True)
    return (points, group) if len(chosen) == n else (points[chosen], group)


def _with_duplicates(unique: Array, group: Array, k: int) -> tuple[Array, Array]:
    """Return what `_nearest` would for points of which some are equal, which are at distance exactly 0."""
    n, groups = len(group), len(unique)
    row, column, squared = np.arange(groups), np.arange(groups), np.zeros(groups)
    if groups > 1:
        pairs = _candidates(unique, min(k, groups - 1))
        row, column, squared = (np.concatenate(x) for x in zip((row, column, squared), pairs, strict=True))
    order = np.argsort(row, kind="stable")
    row, column, squared = row[order], column[order], squared[order]
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    starts = np.searchsorted(row, np.arange(groups + 1))
    neighbours, distances = np.empty((n, k), np.int64), np.empty((n, k))
    for number, mine in enumerate(members):
        near = slice(starts[number], starts[number + 1])
        lists = [members[g][: k + 1] for g in column[near]]
        index, distance = np.concatenate(lists), np.repeat(squared[near], [len(x) for x in lists])
        order = np.lexsort((index, distance))
        index, distance = index[order], distance[order]
        index, distance = index[: k + 1], distance[: k + 1]  # a point itself is at most one of them
        for point in mine:
            others = np.flatnonzero(index != point)[:k]
            neighbours[point], distances[point] = index[others], distance[others]
    return neighbours, distances


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer exact neighbours."""
    return [ProcessorSpec("knn", Knn)]
