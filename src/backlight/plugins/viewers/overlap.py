"""How far two clusterings of the same samples agree: who is together in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.project import Category


@dataclass(frozen=True)
class Overlap:
    """The samples that two clusterings share.

    rows, columns: cluster ids of the first and the second. table: (rows, columns) number of shared samples.
    rand: adjusted Rand index, 1 for the same grouping, about 0 for chance; None with fewer than two samples.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    table: NDArray[np.int64]
    rand: float | None

    @property
    def shared(self) -> int:
        """Number of samples in both."""
        return int(self.table.sum())


def overlap(first: Category, one: str, second: Category, two: str) -> Overlap:
    """Return the overlap of clustering `one` of a class with clustering `two` of another or the same."""
    ours, theirs = _shared(first, one, second, two)
    rows, i = np.unique(ours, return_inverse=True)
    columns, j = np.unique(theirs, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(table, (i, j), 1)
    return Overlap(tuple(rows.tolist()), tuple(columns.tolist()), table, _rand(ours, theirs))


def cell(first: Category, one: str, second: Category, two: str, ids: tuple[int, int]) -> NDArray[np.int64]:
    """Return the dataset indices that lie in cluster ids[0] of the first and ids[1] of the second."""
    return np.intersect1d(_members(first, one, ids[0]), _members(second, two, ids[1]))


def _members(category: Category, clustering: str, cluster: int) -> Any:
    found = category.clusters(clustering)
    return category.index[found < 0 if cluster < 0 else found == cluster]


def _shared(first: Category, one: str, second: Category, two: str) -> tuple[NDArray[Any], NDArray[Any]]:
    _, i, j = np.intersect1d(first.index, second.index, return_indices=True)
    return np.maximum(first.clusters(one)[i], -1), np.maximum(second.clusters(two)[j], -1)


def _rand(ours: NDArray[Any], theirs: NDArray[Any]) -> float | None:
    if len(ours) < 2:
        return None
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(ours, theirs))
