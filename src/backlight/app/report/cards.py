"""What is shown of a cluster: mean heatmap and picture, the samples closest to and farthest from the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError
from backlight.core.pictures.heatmap import channel_sum, rgb_heatmap
from backlight.core.project import Category, Project
from backlight.core.projects.sample import Sample, describe
from backlight.core.projects.table import read_table

Array = NDArray[Any]

_MOST = 400
"""Samples of a cluster that means are taken over; of more, evenly chosen ones."""

_OUTLIERS = 3


@final
@dataclass(frozen=True)
class Shown:
    """One sample: its picture and heatmap (H, W, 3) uint8, and what is known of it."""

    sample: Sample
    picture: NDArray[np.uint8]
    heatmap: NDArray[np.uint8]


@final
@dataclass(frozen=True)
class Card:
    """One cluster; mean_picture is None where pictures differ in size.

    accuracy, confidence: of the model on its samples, None where predictions are not known.
    typical, outliers: nearest to and farthest from the mean heatmap. scores: those with a value for it.
    """

    cluster: int
    size: int
    share: float
    suspicious: bool
    mean_heatmap: NDArray[np.uint8]
    mean_picture: NDArray[np.uint8] | None
    accuracy: float | None
    confidence: float | None
    typical: tuple[Shown, ...]
    outliers: tuple[Shown, ...]
    scores: dict[str, float]


def cards(project: Project, category: Category, clustering: str, samples: int, cmap: str) -> list[Card]:
    """Return the cards of a clustering, the suspicious one first, then by falling size; noise has none."""
    labels = category.clusters(clustering)
    suspicious = category.suspicious[1] if category.suspicious else -1
    clusters, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = sorted(
        zip(sizes.tolist(), clusters.tolist(), strict=True), key=lambda c: (c[1] != suspicious, -c[0])
    )
    return [_card(project, category, clustering, c, size / len(labels), samples, cmap) for size, c in order]


def pictured(project: Project, indices: Sequence[int], cmap: str) -> tuple[Shown, ...]:
    """Return picture, heatmap and facts of some samples."""
    described = _described(project, list(indices))
    return tuple(
        Shown(sample, project.dataset.image(i), rgb_heatmap(project.attributions.relevance(i), cmap))
        for i, sample in zip(indices, described, strict=True)
    )


def _card(
    project: Project, category: Category, clustering: str, cluster: int, share: float, samples: int, cmap: str
) -> Card:
    members = category.members(clustering, cluster)
    used = members[np.unique(np.linspace(0, len(members) - 1, min(len(members), _MOST)).astype(np.intp))]
    maps = [channel_sum(project.attributions.relevance(int(i))) for i in used]
    pictures = [project.dataset.image(int(i)) for i in used]
    mean, nearest = _mean_and_nearest(maps)
    odd = nearest[max(samples, len(nearest) - _OUTLIERS) :][::-1] if samples else nearest[:0]
    alike = len({p.shape for p in pictures}) == 1
    facts = read_table(project, members)
    return Card(
        cluster=cluster,
        size=len(members),
        share=share,
        suspicious=category.suspicious == (clustering, cluster),
        mean_heatmap=rgb_heatmap(mean, cmap),
        mean_picture=np.mean(pictures, axis=0).round().astype(np.uint8) if alike else None,
        accuracy=facts.accuracy,
        confidence=facts.mean_confidence,
        typical=pictured(project, used[nearest[:samples]].tolist(), cmap),
        outliers=pictured(project, used[odd].tolist(), cmap),
        scores=_scores(category, clustering, cluster),
    )


def _mean_and_nearest(maps: list[Array]) -> tuple[Array, Array]:
    """Return the mean of the maps' shares of relevance, and the maps' order by distance to it."""
    first = maps[0].shape
    same = [i for i, m in enumerate(maps) if m.shape == first]
    shares = np.stack([maps[i] / max(float(np.abs(maps[i]).sum()), 1e-30) for i in same])
    mean = shares.mean(axis=0)
    distance = np.square(shares - mean).sum(axis=(1, 2))
    return mean, np.asarray(same)[np.argsort(distance, kind="stable")]


def _described(project: Project, indices: list[int]) -> list[Sample]:
    try:
        return describe(project, indices)
    except FormatError:
        return [Sample(i, None, (), "") for i in indices]


def _scores(category: Category, clustering: str, cluster: int) -> dict[str, float]:
    """Return the cluster's value of every score that has one per cluster of this clustering."""
    found: dict[str, float] = {}
    for name, values in category.scores.items():
        attributes = category.score_attributes(name)
        aligned = np.asarray(attributes.get("cluster", ()))
        if values.ndim == 1 and len(aligned) == len(values) and attributes.get("clustering") == clustering:
            at = np.flatnonzero(aligned == cluster)
            if len(at) and np.isfinite(values[at[0]]):
                found[name] = float(values[at[0]])
    persistence = category.clustering_attributes(clustering).get("persistence", ())
    return found | ({"persistence": float(persistence[cluster])} if cluster < len(persistence) else {})
