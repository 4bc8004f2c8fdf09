"""Selected samples in another order, or only those that a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError, unknown
from backlight.core.project import Category, Project
from backlight.core.projects.annotations import tags_of
from backlight.core.projects.curation import Curation
from backlight.core.projects.table import Table, read_table
from backlight.plugins.viewers.searching import found

Indices = NDArray[np.int64]
DOWN = "-down"

ORDERS: list[dict[str, str]] = [
    {"value": "given", "label": "As selected"},
    {"value": "confidence", "label": "Unsure first"},
    {"value": "confidence-down", "label": "Sure first"},
    {"value": "wrong", "label": "Wrong first"},
    {"value": "label", "label": "Label"},
    {"value": "prediction", "label": "Prediction"},
    {"value": "cluster", "label": "Cluster"},
    {"value": "tags", "label": "Tags"},
    {"value": "file", "label": "File name"},
    {"value": "index", "label": "Index"},
]


@dataclass(frozen=True)
class Place:
    """Where samples were selected: what their clusters and tags are read from."""

    project: Project
    category: Category
    clustering: str | None

    @property
    def curation(self) -> Curation:
        """What people made of the clusters."""
        return self.project.curation(self.category, self.clustering)

    def clusters(self, indices: Indices) -> list[int | None]:
        """Return the cluster of each sample as people merged them, None where it is in none."""
        if self.clustering not in self.category.clusterings:
            return [None] * len(indices)
        rows = np.flatnonzero(np.isin(self.category.index, indices))
        ids = self.curation.ids(self.category.clusters(self.clustering or "")[rows])
        known = dict(zip(self.category.index[rows].tolist(), ids.tolist(), strict=True))
        return [known.get(index) for index in indices.tolist()]

    def tags(self, indices: Indices) -> list[list[str]]:
        """Return the names of each sample's tags."""
        return tags_of(self.project.annotations.tags(), indices)

    def files(self, indices: Indices) -> list[str]:
        """Return where each sample came from."""
        return [self.project.dataset.file_name(index) for index in indices.tolist()]


def arranged(place: Place, indices: Indices, order: str, search: str) -> Indices:
    """Return the samples that a search finds, in an order of `ORDERS`, or its reverse with "-down" behind it.

    Ties stay as selected; what is not known comes last either way.
    """
    known = [entry["value"] for entry in ORDERS]
    if order not in known and order.removesuffix(DOWN) not in known[1:]:
        raise RequestError(unknown("order", order, known))
    if search:
        indices = indices[_found(place, indices, search)]
    if order == "given":
        return indices
    keys = _keys(place, read_table(place.project, indices), order.removesuffix(DOWN))
    rank = np.unique(keys, return_inverse=True)[1]
    missing = ~np.isfinite(keys) if keys.dtype.kind == "f" else np.zeros(len(keys), bool)
    return indices[np.lexsort((-rank if order.endswith(DOWN) else rank, missing))]


def _keys(place: Place, facts: Table, order: str) -> Any:
    if order == "file":
        return np.array(place.files(facts.index), dtype=object)
    if order == "tags":
        return np.array([", ".join(tags) or "\uffff" for tags in place.tags(facts.index)], dtype=object)
    if order == "cluster":
        clusters = place.clusters(facts.index)
        return np.array([np.inf if c is None or c < 0 else c for c in clusters])
    return {
        "confidence": facts.confidence,
        "wrong": facts.correct % 3,
        "label": facts.label,
        "prediction": facts.predicted,
        "index": facts.index,
    }[order]


def _found(place: Place, indices: Indices, search: str) -> NDArray[np.bool_]:
    labels, curation, facts = place.project.labels, place.curation, read_table(place.project, indices)
    columns = {
        "index": list(map(str, indices.tolist())),
        "file": place.files(indices),
        "label": [labels.label(k).name if k >= 0 else "" for k in facts.label.tolist()],
        "prediction": [labels.label(k).name if k >= 0 else "" for k in facts.predicted.tolist()],
        "tag": list(map(" ".join, place.tags(indices))),
        "cluster": ["" if c is None else curation.name(c) for c in place.clusters(indices)],
    }
    return found(search, columns, facts)
