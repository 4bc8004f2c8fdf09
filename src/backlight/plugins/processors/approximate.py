"""Approximate nearest neighbours whose recall is measured, not hoped for.

Points are gathered in cells (k-means on their leading principal components) and only those of near cells are
compared. How many cells are near enough is read off a sample of points, whose neighbours are found exactly:
the fewest with which the sample's recall, less its error, is what was asked for. Where the leading components
tell enough, they and the points' lengths select candidates and all features decide; where they do not
(features of mostly noise), all features select. Both are decided by the sample too, so structureless data
costs time, never recall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Any, ClassVar, NamedTuple, final, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.core.threads import shared
from backlight.plugins.processors._tiles import nearest_in_tiles, nearest_of
from backlight.plugins.processors.neighbours import Knn, Metric, farthest, pair_distances, prepared

Array = NDArray[Any]

_CELL, _ROWS, _COLUMNS, _SAMPLE, _FITTED = 400, 1024, 4096, 512, 2048
_SPARE = 16
"""Candidates beyond k that rounding may need."""
_KEEPING, _MEASURING = 64, 32
"""Features that keeping the nearest costs; times that a feature read for one pair alone costs more."""


@final
@dataclass(frozen=True)
class ApproximateKnn(Processor):
    """Find most of the k nearest others: features (N, D) -> neighbours, distances (N, k), recall.

    `recall` is the share of exact neighbours that a sample of points gets, a float; 1 where all were found
    exactly, which up to `exact` points they are. Distances are exact, nearest first, ties by index.

    k: number of neighbours (>= 1). metric: "euclidean", "cosine" or "correlation".
    recall: least share of the exact neighbours, in (0, 1]; 1 finds them exactly.
    components: principal components that select candidates (>= 1).
    seed: of sample and cells; None takes the run's.
    """

    k: int = 32
    metric: Metric = "euclidean"
    recall: float = 0.95
    components: int = 128
    exact: int = 10_000
    seed: int | None = None

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances", "recall")

    def __post_init__(self) -> None:
        if self.k < 1 or self.components < 1 or not 0 < self.recall <= 1:
            raise RequestError(f"{self}: expected k >= 1, components >= 1 and recall in (0, 1]")
        if self.metric not in get_args(Metric):
            raise RequestError(
                f"approximate-knn: metric is {self.metric!r}, expected one of {get_args(Metric)}"
            )

    def __call__(self, *, features: Array) -> dict[str, Any]:
        """Return the neighbours."""
        if len(features) <= max(self.exact, 2 * self.k, _CELL) or self.recall == 1:
            return {**Knn(self.k, self.metric)(features=features), "recall": 1.0}
        random = np.random.default_rng(self.seed or 0)
        points = prepared(features, self.metric)
        mean = points.mean(axis=0)
        with threadpool_limits(1):  # with more, the last bits of what decides would depend on how many
            basis = _basis(points, mean, self.components, random)
            shift = mean @ basis
        leading = _projected(points, basis) - shift
        with threadpool_limits(1):
            cells = _Cells.of(leading, random)
        order = np.argsort(cells.member, kind="stable")  # from here on points of a cell lie side by side
        leading, cells = leading[order], cells._replace(member=cells.member[order])
        centred = _centred(points, mean, order)
        norms = np.einsum("ij,ij->i", centred, centred)
        plan = _planned(centred, leading, norms, cells, self.k, self.recall, random)
        if plan is None:
            del centred, leading
            return {**Knn(self.k, self.metric)(features=features), "recall": 1.0}
        found = _candidates(leading if plan.by_leading else centred, norms, cells, plan, self.k)
        del centred, leading
        index = np.empty_like(found)
        index[order] = np.where(found < 0, -1, order[found])
        neighbours, squared = _decided(points, index, self.k)
        distances = np.sqrt(squared) if self.metric == "euclidean" else squared / 2
        return {
            "neighbours": neighbours.astype(np.int32),
            "distances": distances.astype(np.float32),
            "recall": plan.recall,
        }


class _Cells(NamedTuple):
    """A partition. member: (n,) cell of every point; nearness: (c, c) rank of cell b as seen by a."""

    member: Array
    size: Array
    nearness: Array

    @classmethod
    def of(cls, leading: Array, random: np.random.Generator) -> _Cells:
        """Partition by k-means on a sample; a cell is nearest to itself."""
        count = max(2, len(leading) // _CELL)
        fitted = leading[random.permutation(len(leading))[: max(_FITTED, 40 * count)]]
        seed = int(random.integers(2**31))
        model = MiniBatchKMeans(count, n_init=1, batch_size=_FITTED, max_iter=30, random_state=seed).fit(
            fitted
        )
        centres, member = np.unique(model.predict(leading), return_inverse=True)
        centre = model.cluster_centers_[centres]
        squared = np.square(centre).sum(axis=1)
        apart = squared[:, None] + squared - 2 * centre @ centre.T
        np.fill_diagonal(apart, -np.inf)
        line = _chained(apart)  # near cells get near numbers, so that those to compare lie side by side
        apart, member = apart[np.ix_(line, line)], np.argsort(line)[member]
        nearness = apart.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        return cls(member, np.bincount(member), nearness)

    def near(self, reach: int) -> NDArray[np.bool_]:
        """Return which pairs of cells are compared: (c, c), symmetric."""
        seen = self.nearness < reach
        return np.asarray(seen | seen.T)

    def least(self, count: int) -> int:
        """Return the smallest reach that compares every point with `count` others or more."""
        by_nearness = np.argsort(self.nearness, axis=1)
        enough = np.cumsum(self.size[by_nearness], axis=1) > count
        return int(enough.argmax(axis=1).max()) + 1


class _Plan(NamedTuple):
    """How candidates are found: by leading components or by all features, how many, how far."""

    by_leading: bool
    count: int
    reach: int
    recall: float


def _basis(points: Array, mean: Array, components: int, random: np.random.Generator) -> Array:
    """Return a basis of a sample's leading principal subspace (Halko et al. 2011), (D, <= components)."""
    sample = points[np.sort(random.permutation(len(points))[:_FITTED])] - mean
    basis = random.standard_normal((sample.shape[1], min(components, *sample.shape)), dtype=np.float32)
    for _ in range(3):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    return basis


def _projected(points: Array, basis: Array) -> Array:
    """Return the points' coordinates in a basis, (n, components)."""
    rows = _cut(0, len(points), _ROWS)
    return np.concatenate(list(shared(lambda part: points[part] @ basis, rows)))


def _centred(points: Array, mean: Array, order: Array) -> Array:
    """Return the points around their mean, in this order."""
    centred = np.empty_like(points)

    def fill(part: slice) -> None:
        np.take(points, order[part], axis=0, out=centred[part], mode="clip")  # clip: without a buffer
        centred[part] -= mean

    for _ in shared(fill, _cut(0, len(points), _ROWS)):
        pass
    return centred


def _chained(apart: Array) -> Array:
    """Return an order of the cells in which each is followed by the nearest that is left."""
    line, left = [0], np.ones(len(apart), dtype=bool)
    for _ in range(1, len(apart)):
        left[line[-1]] = False
        line.append(int(np.where(left, apart[line[-1]], np.inf).argmin()))
    return np.array(line)


def _planned(
    centred: Array,
    leading: Array,
    norms: Array,
    cells: _Cells,
    k: int,
    recall: float,
    random: np.random.Generator,
) -> _Plan | None:
    """Choose the cheapest plan whose recall on a sample, less two standard errors, is enough.

    None where comparing all costs no more. Comparing two points costs what it reads and what it takes to keep
    the nearest; so does measuring a candidate, which is read from far apart.
    """
    n, d = centred.shape
    sample = np.sort(random.permutation(n)[:_SAMPLE])
    truth = nearest_of(sample, centred, norms, k)
    seen = np.minimum(
        cells.nearness[cells.member[sample][:, None], cells.member[truth]],
        cells.nearness[cells.member[truth], cells.member[sample][:, None]],
    )
    few, many = k + _SPARE, min(4 * k + _SPARE, n - 1)
    among = nearest_of(sample, leading, norms, many)
    plans = []
    for by_leading, count, found in ((True, few, among[:, :few]), (True, many, among), (False, few, truth)):
        kept = (truth[:, :, None] == found[:, None, :]).any(axis=2)
        reach, reached = _reach(seen, kept, recall, cells.least(count))
        if reach:
            compared = float(cells.size @ cells.near(reach) @ cells.size)
            dimensions, measured = (leading.shape[1], count) if by_leading else (d, k)
            cost = compared * (dimensions + _KEEPING) + n * measured * d * _MEASURING
            plans.append((cost, _Plan(by_leading, count, reach, reached)))
    cost, plan = min(plans, default=(np.inf, None), key=lambda found: found[0])
    return plan if cost < 0.9 * (n * n * (d + _KEEPING) + n * k * d * _MEASURING) else None


def _reach(seen: Array, kept: NDArray[np.bool_], recall: float, least: int) -> tuple[int, float]:
    """Return the smallest reach with enough recall, and that recall; reach 0 where none has."""
    for reach in range(least, int(seen.max()) + 2):
        found = (kept & (seen < reach)).mean(axis=1)
        error = float(found.std()) / np.sqrt(len(found))
        if found.mean() - 2 * error >= recall:
            return reach, float(found.mean())
    return 0, 0.0


def _candidates(points: Array, norms: Array, cells: _Cells, plan: _Plan, k: int) -> Array:
    """Return the candidates of every point, (n, count) indices, -1 where there are fewer.

    points: their leading components or all features, by rising cell.
    """
    pairs = _pairs(cells.size, cells.near(plan.reach))
    approximate, found = nearest_in_tiles(points, norms, plan.count, pairs)
    if not plan.by_leading:  # all features selected: what is not within rounding of the k-th is out
        found[approximate > farthest(approximate, norms, points.shape[1], k)[:, None]] = -1
    return found


def _pairs(size: Array, near: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns that cover all pairs of points in near cells once; cells follow each other."""
    starts = np.concatenate([[0], np.cumsum(size)])
    for cell in range(len(size)):
        rows = _cut(starts[cell], starts[cell + 1], _ROWS)
        yield from combinations_with_replacement(rows, 2)
        edges = np.flatnonzero(np.diff(near[cell, cell + 1 :], prepend=False, append=False)) + cell + 1
        for first, last in edges.reshape(-1, 2):  # a run of cells to compare
            columns = _cut(starts[first], starts[last], _COLUMNS)
            yield from product(rows, columns)


def _cut(start: int, end: int, most: int) -> list[slice]:
    """Return slices of at most `most` from start to end."""
    return [slice(int(s), int(min(s + most, end))) for s in range(start, end, most)]


def _decided(points: Array, index: Array, k: int) -> tuple[Array, Array]:
    """Return the k nearest of each point's candidates and their squared distances, (n, k), ties by index."""
    index = np.sort(index, axis=1)
    row, slot = np.nonzero(index >= 0)
    squared = np.full(index.shape, np.inf)
    squared[row, slot] = pair_distances(points, row, index[row, slot])
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(index, nearest, axis=1), np.take_along_axis(squared, nearest, axis=1)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer approximate neighbours."""
    return [ProcessorSpec("approximate-knn", ApproximateKnn, cite="halko2011")]
