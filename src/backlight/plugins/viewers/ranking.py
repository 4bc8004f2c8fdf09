"""What the overview knows about a class: the scores that an analysis recorded, each of them optional."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.core.errors import BacklightError
from backlight.core.panel import PanelContext
from backlight.core.project import Category


@dataclass(frozen=True)
class Row:
    """One class in the table; None where the analysis recorded nothing.

    suspicion: what classes are ranked by, higher first; ranked_by: the score that it is.
    tau: how separable its clusters are; baseline: the same by chance. gap: clusters the eigengap suggests.
    suspect: (cluster, its size, share of its majority prediction) of the most suspicious cluster.
    """

    category: str
    name: str
    size: int
    suspicion: float | None = None
    ranked_by: str = ""
    tau: float | None = None
    baseline: float | None = None
    gap: int | None = None
    clusters: int | None = None
    clustering: str | None = None
    suspect: tuple[int, int, float | None] | None = None


def read(context: PanelContext, project: str, analysis: str) -> list[Row]:
    """Return a row for every class of an analysis; one that cannot be read is reported above."""
    rows = []
    for category in context.projects[project].analysis(analysis).categories.values():
        try:
            rows.append(read_row(category))
        except BacklightError:
            continue
    return rows


def read_row(category: Category) -> Row:
    """Return what the analysis recorded about one class."""
    scores = {name: value for name, value in category.scores.items() if value.ndim == 0}
    recorded = category.score_attributes("tau") if "tau" in scores else {}
    return Row(
        category=category.id,
        name=category.name,
        size=len(category.index),
        suspicion=category.suspicion[1] if category.suspicion else None,
        ranked_by=category.suspicion[0] if category.suspicion else "",
        tau=_finite(scores.get("tau")),
        baseline=_finite(recorded.get("baseline")),
        gap=int(scores["eigengap"]) if "eigengap" in scores else None,
        clusters=int(recorded["cluster_count"]) if "cluster_count" in recorded else None,
        **_suspect(category),
    )


def _suspect(category: Category) -> dict[str, Any]:
    if category.suspicious is None:
        return {}
    clustering, cluster = category.suspicious
    size = len(category.members(clustering, cluster))
    return {
        "clustering": clustering,
        "suspect": (cluster, size, _of_cluster(category, "purity", cluster)) if size else None,
    }


def _of_cluster(category: Category, score: str, cluster: int) -> float | None:
    if score not in category.scores:
        return None
    ids = np.atleast_1d(category.score_attributes(score).get("cluster", ())).tolist()
    values = np.atleast_1d(category.scores[score])
    return _finite(values[ids.index(cluster)]) if cluster in ids and len(ids) == len(values) else None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
