"""What a cluster is like: its size, how the model does on it, typical and odd samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backlight.core.project import Category, Project
from backlight.core.projects.table import category_table


@dataclass(frozen=True)
class Summary:
    """A cluster in figures; None where the files do not say.

    purity: share of its most frequent prediction, which is `majority`.
    medoids, outliers: dataset indices, nearest to and farthest from the cluster's centre.
    """

    cluster: int
    name: str
    size: int
    share: float
    majority: str | None
    purity: float | None
    accuracy: float | None
    confidence: float | None
    training: float | None
    medoids: tuple[int, ...]
    outliers: tuple[int, ...]


def summarise(project: Project, category: Category, clustering: str, typical: int = 5) -> list[Summary]:
    """Return the clusters of a clustering as people merged and hid them, by ascending id, noise last."""
    curation = project.curation(category, clustering)
    ids = curation.ids(category.clusters(clustering))
    shown = [cluster for cluster in np.unique(ids).tolist() if cluster not in curation.hidden]
    order = sorted(shown, key=lambda cluster: (cluster < 0, cluster))
    space = analysis_space(category, clustering)
    return [
        _summary(project, category, np.flatnonzero(ids == c), c, curation.name(c), space, typical)
        for c in order
    ]


def analysis_space(category: Category, clustering: str | None = None) -> NDArray[np.float32] | None:
    """Return the coordinates that a clustering was computed on, (S, D), or the best there is, or None."""
    names = category.embeddings
    attributes = category.clustering_attributes(clustering) if clustering in category.clusterings else {}
    wanted = [str(attributes.get("embedding", "")), "spectral", *names]
    name = next((n for n in wanted if n in names), None)
    if name is None:
        return None
    embedding = category.embedding(name)
    # Eigenvectors with small eigenvalues hold the structure; the rest is noise with the same norm.
    columns = embedding.component[: max(int(attributes.get("k", 0)), 8)]
    return np.nan_to_num(embedding.columns(*columns.tolist()), copy=False)


def _summary(
    project: Project,
    category: Category,
    rows: NDArray[np.intp],
    cluster: int,
    name: str,
    space: NDArray[np.float32] | None,
    typical: int,
) -> Summary:
    facts = category_table(project, category).at(rows)
    guesses, counts = np.unique(facts.predicted[facts.predicted >= 0], return_counts=True)
    most = int(guesses[counts.argmax()]) if len(guesses) else None
    ordered = _by_centre(space, rows)
    medoids = category.index[ordered[:typical]]
    outliers = category.index[ordered[max(typical, len(rows) - 3) :][::-1]]
    return Summary(
        cluster,
        name,
        len(rows),
        len(rows) / len(category.index),
        None if most is None else project.labels.label(most).name,
        None if most is None else float(counts.max() / counts.sum()),
        facts.accuracy,
        facts.mean_confidence,
        None if facts.training is None else float(facts.training.mean()),
        tuple(medoids.tolist()),
        tuple(outliers.tolist()),
    )


def _by_centre(space: NDArray[np.float32] | None, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    if space is None:
        return rows
    away = space[rows]
    away -= away.mean(axis=0)
    return rows[np.argsort(np.einsum("ij,ij->i", away, away), kind="stable")]
