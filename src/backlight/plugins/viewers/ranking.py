"""What the overview knows about a class: the scores that an analysis recorded, each of them optional."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import BacklightError
from backlight.core.panel import PanelContext
from backlight.core.project import Analysis, Category, Project
from backlight.core.projects.table import category_table

READABLE = 20_000_000
"""Predictions, samples times classes, that are read to compare accuracies; of more it would take long."""


@dataclass(frozen=True)
class Row:
    """One class in the table; None where the analysis recorded nothing.

    suspicion: what classes are ranked by, the score `ranked_by`. tau: how separable its clusters are;
    baseline: the same by chance. gap: clusters the eigengap suggests. smallest: share of the smallest one.
    suspect: (cluster, its size, share of its majority prediction) of the most suspicious cluster.
    border: share of the relevance that this cluster has on the border of pictures.
    accuracy: how much more often than the rest of its class it is predicted right.
    analysis: the method that says all this.
    """

    category: str
    name: str
    size: int
    suspicion: float | None = None
    ranked_by: str = "tau"
    tau: float | None = None
    baseline: float | None = None
    contrast: float | None = None
    gap: int | None = None
    smallest: float | None = None
    clustering: str | None = None
    suspect: tuple[int, int, float | None] | None = None
    border: float | None = None
    accuracy: float | None = None
    analysis: str = ""


def read(context: PanelContext, project: str, analysis: str) -> list[Row]:
    """Return a row for every class of an analysis; one that cannot be read is reported above."""
    return list(_rows(context.projects[project].analysis(analysis)))


@functools.lru_cache(maxsize=16)
def _rows(analysis: Analysis) -> tuple[Row, ...]:
    rows = []
    for category in analysis.categories.values():
        try:
            rows.append(read_row(category))
        except BacklightError:
            continue
    return tuple(rows)


@functools.lru_cache(maxsize=16)
def with_accuracy(project: Project, analysis: str) -> tuple[Row, ...]:
    """Return the rows with the accuracies of the suspicious clusters, as far as these are quickly read."""
    rows = _rows(project.analysis(analysis))
    if sum(row.size for row in rows) * max(1, len(project.labels)) > READABLE:
        return rows
    categories = project.analysis(analysis).categories
    return tuple(replace(row, accuracy=_accuracy(project, categories[row.category], row)) for row in rows)


def read_row(category: Category) -> Row:
    """Return what the analysis recorded about one class."""
    scores = {name: value for name, value in category.scores.items() if value.ndim == 0}
    recorded = category.score_attributes("tau") if "tau" in scores else {}
    attributes = category.attributes
    return Row(
        category=category.id,
        name=category.name,
        size=len(category.index),
        suspicion=_finite(attributes.get("suspicion", scores.get("tau"))),
        ranked_by=str(attributes.get("ranked_by", "tau")),
        tau=_finite(scores.get("tau")),
        baseline=_finite(recorded.get("baseline")),
        contrast=_finite(scores.get("contrast")),
        gap=int(scores["eigengap"]) if "eigengap" in scores else None,
        analysis=category.analysis,
        **_suspect(category),
    )


def _accuracy(project: Project, category: Category, row: Row) -> float | None:
    if row.suspect is None or row.clustering is None:
        return None
    correct = category_table(project, category).correct
    inside = category.clusters(row.clustering) == row.suspect[0]
    means = [_share(correct[mask & (correct >= 0)]) for mask in (inside, ~inside)]
    return None if None in means else float(means[0] - means[1])  # type: ignore[operator]


def _share(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _suspect(category: Category) -> dict[str, Any]:
    if category.suspicious is None:
        return {}
    clustering, cluster = category.suspicious
    found = category.clusters(clustering)
    counts = np.unique(found[found >= 0], return_counts=True)[1]
    size = int((found == cluster).sum())
    return {
        "clustering": clustering,
        "suspect": (cluster, size, _of_cluster(category, "purity", cluster)) if size else None,
        "smallest": float(counts.min() / len(found)) if len(counts) else None,
        "border": _of_cluster(category, "border-share", cluster),
    }


def _of_cluster(category: Category, score: str, cluster: int) -> float | None:
    if score not in category.scores:
        return None
    ids = np.atleast_1d(category.score_attributes(score).get("cluster", ())).tolist()
    values = np.atleast_1d(category.scores[score])
    return _finite(values[ids.index(cluster)]) if cluster in ids and len(ids) == len(values) else None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
