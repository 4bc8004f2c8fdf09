"""How far two clusterings of the same samples agree: who is together in both.

Samples of another project are the same where their files have the same name, or their numbers are the same in
a dataset of the same name and size whose samples have no file names.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.project import Category, Project


@dataclass(frozen=True)
class Side:
    """The clusters of one class.

    index: (S,) dataset indices, -1 for samples that the first project does not have. ids: (S,) clusters.
    """

    index: NDArray[np.int64]
    ids: NDArray[np.int32]


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


def side(
    project: Project, category: Category, clustering: str, index: NDArray[np.int64] | None = None
) -> Side:
    """Return the clusters of a class as people merged them.

    index: its samples as the first project numbers them, where that is another one.
    """
    ids = project.curation(category, clustering).ids(category.clusters(clustering))
    return Side(category.index if index is None else index, ids)


def overlap(first: Side, second: Side) -> Overlap:
    """Return the overlap of a clustering with another one."""
    _, i, j = np.intersect1d(first.index, np.where(second.index < 0, -2, second.index), return_indices=True)
    ours, theirs = first.ids[i], second.ids[j]
    rows, r = np.unique(ours, return_inverse=True)
    columns, c = np.unique(theirs, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    np.add.at(table, (r, c), 1)
    return Overlap(tuple(rows.tolist()), tuple(columns.tolist()), table, _rand(ours, theirs))


def cell(first: Side, second: Side, ids: tuple[int, int]) -> NDArray[np.int64]:
    """Return the dataset indices that lie in cluster ids[0] of the first and ids[1] of the second."""
    found = np.intersect1d(first.index[first.ids == ids[0]], second.index[second.ids == ids[1]])
    return found[found >= 0]


@functools.lru_cache(maxsize=8)
def renumbered(ours: Project, first: Category, theirs: Project, second: Category) -> NDArray[np.int64]:
    """Return the samples of a class of another project as this project numbers those of its class `first`.

    (S,) dataset indices, -1 for samples that `first` does not have.
    """
    index = np.asarray(second.index, dtype=np.int64)
    if ours is theirs:
        return index
    names = _names(theirs, index)
    if names == list(map(str, index.tolist())):  # nothing but numbers
        same = (ours.dataset.name, len(ours.dataset)) == (theirs.dataset.name, len(theirs.dataset))
        return index if same else np.full(len(index), -1, dtype=np.int64)
    numbers = first.index.tolist()
    known = dict(zip(_names(ours, first.index), numbers, strict=True))
    return np.array([known.get(name, -1) for name in names], dtype=np.int64)


def _names(project: Project, index: NDArray[np.int64]) -> list[str]:
    return [project.dataset.file_name(int(i)) for i in index.tolist()]


def _rand(ours: NDArray[Any], theirs: NDArray[Any]) -> float | None:
    if len(ours) < 2:
        return None
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(ours, theirs))
