"""What is known about many samples at once, as columns: label, prediction, confidence, split."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError
from backlight.core.projects.annotations import Tag, tags_of
from backlight.core.projects.curation import Curation
from backlight.core.projects.sample import probabilities

if TYPE_CHECKING:
    from backlight.core.project import Category, Project


BLOCK = 4096
"""Outputs of so many samples are read at a time: a thousand classes of all would not fit into memory."""


@dataclass(frozen=True)
class Table:
    """Columns over samples; what was not recorded is -1, or NaN for the confidence.

    index: (n,) dataset indices. label, predicted: (n,) class indices. confidence: (n,) probability of the
    predicted class. training: (n,) bool, or None where the split was not recorded.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    training: NDArray[np.bool_] | None

    @property
    def correct(self) -> NDArray[np.int8]:
        """(n,) 1 where the prediction is the label, 0 where it is not, -1 where one is not known."""
        known = (self.label >= 0) & (self.predicted >= 0)
        return np.where(known, self.label == self.predicted, -1).astype(np.int8)

    @property
    def accuracy(self) -> float | None:
        """Share predicted as labelled, of those of which both are known; None for none."""
        return _mean(self.correct[self.correct >= 0])

    @property
    def mean_confidence(self) -> float | None:
        """Mean probability of the predicted class; None where no prediction is known."""
        return _mean(self.confidence[np.isfinite(self.confidence)])

    def at(self, rows: NDArray[np.intp]) -> Table:
        """Return some rows."""
        split = None if self.training is None else self.training[rows]
        return Table(self.index[rows], self.label[rows], self.predicted[rows], self.confidence[rows], split)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


@functools.lru_cache(maxsize=2)
def category_table(project: Project, category: Category) -> Table:
    """Return what is known about the samples of a category, in its order; of the latest two it is kept."""
    return read_table(project, category.index)


def read_table(project: Project, indices: NDArray[np.integer[Any]]) -> Table:
    """Return what is known about the samples at `indices`."""
    index = np.asarray(indices, dtype=np.int64)
    label = np.full(len(index), -1, dtype=np.int64)
    predicted, confidence = label.copy(), np.full(len(index), np.nan)
    training = None
    with contextlib.suppress(FormatError, IndexError):
        label = project.dataset.labels[index]
    with contextlib.suppress(FormatError):
        held = project.attributions.holds(index)
        for rows_held in np.split(np.flatnonzero(held), range(BLOCK, int(held.sum()), BLOCK)):
            outputs = project.attributions.predictions(index[rows_held])
            if outputs.size:
                predicted[rows_held] = outputs.argmax(axis=1)
                confidence[rows_held] = probabilities(outputs).max(axis=1)
        training = project.attributions.training(index) if held.all() and len(index) else None
    return Table(index, label, predicted, confidence, training)


def rows(
    project: Project,
    indices: NDArray[np.int64],
    tags: dict[str, Tag],
    category: Category | None = None,
    clustering: str | None = None,
) -> list[dict[str, Any]]:
    """Return one row for each sample; those outside `category` have no cluster.

    cluster: as in the analysis file. cluster_name: as people named and merged it.
    """
    facts, held = read_table(project, indices), tags_of(tags, indices)
    clusters: dict[int, int] = {}
    curation = Curation() if category is None else project.curation(category, clustering)
    if category is not None and clustering in category.clusterings:
        ids = category.clusters(clustering or "")
        clusters = dict(zip(category.index.tolist(), ids.tolist(), strict=True))

    def name(number: int) -> str | None:
        return project.labels.label(number).name if number >= 0 else None

    return [
        {
            "id": int(index),
            "file": project.dataset.file_name(int(index)),
            "label": name(int(facts.label[k])),
            "prediction": name(int(facts.predicted[k])),
            "confidence": round(float(facts.confidence[k]), 6) if np.isfinite(facts.confidence[k]) else None,
            "training": None if facts.training is None else bool(facts.training[k]),
            "clustering": clustering if int(index) in clusters else None,
            "cluster": clusters.get(int(index)),
            "cluster_name": curation.name(clusters[int(index)]) if int(index) in clusters else None,
            "tags": held[k],
        }
        for k, index in enumerate(facts.index.tolist())
    ]
