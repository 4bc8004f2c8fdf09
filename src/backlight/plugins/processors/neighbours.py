"""Exact k nearest neighbours in blocks: float32 matrix products select, exact distances decide.

|x − y|² = |x|² + |y|² − 2·x·y is cheap but cancels; its rounding error is about √d·ε·|x||y| (Higham & Mary 2019, "A new
approach to probabilistic rounding error analysis"). So every point whose approximate distance lies within that margin
of the k-th is measured again by its coordinates, and the k nearest of these, ties broken by index, are the answer.
Memory: O(block·n + n·k), never n².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final, get_args

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]
Metric = Literal["euclidean", "cosine", "correlation"]

_BLOCK_BYTES = 1 << 25
_PAIR_BYTES = 1 << 21


@final
@dataclass(frozen=True)
class Knn(Processor):
    """Find each sample's k nearest others: features (N, D) -> neighbours (N, k) int32, distances (N, k) float32.

    Nearest first, ties by index; a sample is never its own neighbour, its duplicates are. k is at most N - 1.

    k: number of neighbours (>= 1).
    metric: "euclidean", "cosine" (1 - cosine similarity) or "correlation" (1 - Pearson's r).
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
        points = _prepare(features, self.metric)
        k = max(0, min(self.k, len(points) - 1))
        if k == 0:
            return {
                "neighbours": np.zeros((len(points), 0), np.int32),
                "distances": np.zeros((len(points), 0), np.float32),
            }
        unique, group = _without_duplicates(points)
        if len(unique) == len(points):
            neighbours, squared = _nearest(points, k)
        else:
            neighbours, squared = _with_duplicates(unique, group, k)
        distances = squared / 2 if self.metric != "euclidean" else np.sqrt(squared)
        return {"neighbours": neighbours.astype(np.int32), "distances": distances.astype(np.float32)}


def _prepare(features: Array, metric: Metric) -> Array:
    """Return contiguous float32 points whose squared Euclidean distance has the order of `metric`."""
    if features.ndim != 2:
        raise RequestError(f"knn: features have shape {features.shape}, expected (N, D)")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise RequestError(
            f"knn: features of {len(bad)} of {len(features)} samples are not finite, first at row {bad[0]}"
        )
    points = features.astype(np.float32, order="C")
    if not len(points):
        return points
    if metric == "euclidean":
        return points - points.mean(axis=0)  # distances are the same, cancellation is less
    if metric == "correlation":
        points -= points.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(points, dtype=np.float64).sum(axis=1, keepdims=True))
    if not length.all():
        raise RequestError(
            f"knn: {metric} distance is undefined for the {int((length == 0).sum())} constant or zero rows"
        )
    return (points / length).astype(np.float32)


def _nearest(points: Array, k: int) -> tuple[Array, Array]:
    """Return (n, k) indices and squared distances of the nearest others, for pairwise different points."""
    n, d = points.shape
    norms = np.einsum("ij,ij->i", points, points)
    margin = 8 * (np.sqrt(d) + 4) * np.finfo(np.float32).eps * np.sqrt(norms) * np.sqrt(norms.max())
    neighbours, squared = np.empty((n, k), np.int64), np.empty((n, k))
    step = max(1, min(n, _BLOCK_BYTES // (4 * n)))
    for start in range(0, n, step):
        stop = min(start + step, n)
        approximate = points[start:stop] @ points.T
        approximate *= -2
        approximate += norms
        approximate[np.arange(stop - start), np.arange(start, stop)] = np.inf
        kth = np.partition(approximate, k - 1, axis=1)[:, k - 1]
        row, column = np.nonzero(approximate <= (kth + margin[start:stop])[:, None])
        exact = _pair_distances(points, row + start, column)
        order = np.lexsort((column, exact, row))
        first = np.searchsorted(row, np.arange(stop - start))
        chosen = order[first[:, None] + np.arange(k)]
        neighbours[start:stop], squared[start:stop] = column[chosen], exact[chosen]
    return neighbours, squared


def _pair_distances(points: Array, left: Array, right: Array) -> Array:
    """Return |x_l - x_r|² of index pairs from the coordinates, (p,) float64, a cache-sized chunk at a time."""
    squared = np.empty(len(left))
    step = max(1, _PAIR_BYTES // (4 * points.shape[1]))
    for start in range(0, len(left), step):
        chosen = slice(start, start + step)
        difference = points[right[chosen]]
        difference -= points[left[chosen]]
        squared[chosen] = np.einsum("ij,ij->i", difference, difference)
    return squared


def _without_duplicates(points: Array) -> tuple[Array, Array]:
    """Return the different points and, for every point, which of them it is."""
    keys = (
        np.ascontiguousarray(points + 0.0)
        .view(np.void(points.dtype.itemsize * points.shape[1]).dtype)
        .ravel()
    )
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return points[first], group


def _with_duplicates(unique: Array, group: Array, k: int) -> tuple[Array, Array]:
    """Return what `_nearest` would for points of which some are equal: equal points are at distance exactly 0."""
    n = len(group)
    near, squared = (
        _nearest(unique, min(k, len(unique) - 1))
        if len(unique) > 1
        else (np.zeros((1, 0), int), np.zeros((1, 0)))
    )
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    neighbours, distances = np.empty((n, k), np.int64), np.empty((n, k))
    for number, mine in enumerate(members):
        groups = [number, *near[number]]
        index = np.concatenate([members[g][: k + 1] for g in groups])
        distance = np.repeat([0.0, *squared[number]], [min(k + 1, len(members[g])) for g in groups])
        order = np.lexsort((index, distance))[: k + 1 + len(groups)]
        index, distance = index[order], distance[order]
        for point in mine:
            others = np.flatnonzero(index != point)[:k]
            neighbours[point], distances[point] = index[others], distance[others]
    return neighbours, distances


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer exact neighbours."""
    return [ProcessorSpec("knn", Knn)]
