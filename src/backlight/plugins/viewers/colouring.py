"""What points are coloured by: cluster, label, prediction, correctness, confidence, split, score or tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.project import Category, Project
from backlight.core.projects.curation import NOISE
from backlight.core.projects.table import Table, category_table
from backlight.plugins.viewers.palette import COLOURS, NOISE_COLOUR, cluster_colour

PLAIN = ("cluster", "label", "prediction", "correctness", "confidence", "split")
SCALE = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#e3c93b")
"""Low to high, after cividis: as readable for the colour-blind."""
WRONG, RIGHT = "#cc3311", "#4477aa"

Grouped = tuple[NDArray[np.integer[Any]], list[dict[str, Any]]]
"""The group of every sample, -1 for unknown, and the groups: id, name, colour."""


def choices(project: Project, category: Category) -> list[dict[str, str]]:
    """Return what points of a class can be coloured by, as options of a select."""
    scores = [name for name in category.scores if _per_cluster(category, name) is not None]
    return [
        *({"value": word, "label": word} for word in PLAIN),
        *({"value": f"score:{name}", "label": f"score: {name}"} for name in scores),
        *({"value": f"tag:{name}", "label": f"tag: {name}"} for name in project.annotations.tags()),
    ]


def group(project: Project, category: Category, clustering: str | None, by: str) -> Grouped:
    """Return the groups of a class's samples; what cannot be told apart is one group."""
    if by.startswith("tag:"):
        tag = project.annotations.tags().get(by.removeprefix("tag:"))
        held = np.isin(category.index, tag.samples) if tag else np.zeros(len(category.index), bool)
        return _named(held.astype(np.int8) - 1, lambda _: by.removeprefix("tag:"), "not tagged")
    if by.startswith("score:"):
        values = _per_cluster(category, by.removeprefix("score:"))
        return _scale(values) if values is not None else _clusters(project, category, clustering)
    if by in PLAIN and by != "cluster":
        return _facts(project, category_table(project, category), by)
    return _clusters(project, category, clustering)


def _clusters(project: Project, category: Category, clustering: str | None) -> Grouped:
    if clustering is None:
        ids = np.zeros(len(category.index), dtype=np.int8)
        return ids, [_entry(0, "sample", cluster_colour(0))]
    curation = project.curation(category, clustering)
    found = curation.ids(category.clusters(clustering))
    ids = np.where(np.isin(found, list(curation.hidden)), NOISE, found)
    quiet = "hidden" if NOISE not in found else "noise, hidden" if curation.hidden else curation.name(NOISE)
    return ids, [
        _entry(c, quiet if c == NOISE else curation.name(c), cluster_colour(c))
        for c in np.unique(ids).tolist()
    ]


def _facts(project: Project, facts: Table, by: str) -> Grouped:
    if by == "confidence":
        return _scale(facts.confidence, 0.0, 1.0)
    if by == "correctness":
        ids, entries = _named(facts.correct, lambda k: ("wrong", "correct")[k])
        colours = {0: WRONG, 1: RIGHT}
        return ids, [{**e, "colour": colours.get(e["id"], NOISE_COLOUR)} for e in entries]
    if by == "split":
        split = np.full(len(facts.index), -1) if facts.training is None else facts.training.astype(np.int8)
        return _named(split, lambda k: ("test", "training")[k], "split not recorded")
    classes = facts.label if by == "label" else facts.predicted
    return _named(classes, lambda k: project.labels.label(k).name)


def _named(
    ids: NDArray[np.integer[Any]], name: Callable[[int], str], missing: str = "not recorded"
) -> Grouped:
    entries = [
        _entry(k, missing, NOISE_COLOUR) if k < 0 else _entry(k, name(k), COLOURS[k % len(COLOURS)])
        for k in np.unique(ids).tolist()
    ]
    return ids, entries


def _scale(values: NDArray[Any], low: float | None = None, high: float | None = None) -> Grouped:
    """Return values in equal steps from dark to light."""
    known = np.isfinite(values)
    if not known.any():
        return _named(np.full(len(values), -1), str)
    low = float(values[known].min()) if low is None else low
    high = float(values[known].max()) if high is None else high
    step = (high - low) / len(SCALE) or 1.0
    ids = np.full(len(values), -1)
    ids[known] = np.clip(((values[known] - low) / step).astype(int), 0, len(SCALE) - 1)
    names = [f"{low + k * step:.3g} – {low + (k + 1) * step:.3g}" for k in range(len(SCALE))]
    ids, entries = _named(ids, names.__getitem__)
    return ids, [{**e, "colour": SCALE[e["id"]] if e["id"] >= 0 else NOISE_COLOUR} for e in entries]


def _per_cluster(category: Category, score: str) -> NDArray[np.float64] | None:
    """Return a score of clusters for every sample, (S,), or None when it is not one."""
    if score not in category.scores or category.scores[score].ndim != 1:
        return None
    attributes = category.score_attributes(score)
    clustering, ids = str(attributes.get("clustering", "")), np.atleast_1d(attributes.get("cluster", ()))
    if clustering not in category.clusterings or len(ids) != len(category.scores[score]):
        return None
    by_cluster = dict(zip(ids.tolist(), category.scores[score].tolist(), strict=True))
    found = [by_cluster.get(c, np.nan) for c in category.clusters(clustering).tolist()]
    return np.array(found, dtype=np.float64)


def _entry(number: int, name: str, colour: str) -> dict[str, Any]:
    return {"id": number, "name": name, "colour": colour}
