"""Quality of clusters: silhouette (Rousseeuw 1987), stability over seeds, share of the smallest."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors.kmeans import KMeans

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Silhouette(Processor):
    """Compare distances within and between clusters: embedding (N, m), labels (N,) -> silhouette in [-1, 1].

    `cluster_silhouette` is the mean over each cluster, `cluster` their labels, noise excluded; all are 0 with
    fewer than two clusters. Of more than `most` samples evenly chosen ones are compared.
    """

    most: int = 5000

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("silhouette", "cluster_silhouette", "cluster")

    def __call__(self, *, embedding: Array, labels: Array) -> dict[str, Any]:
        """Return the mean silhouette, over all and per cluster."""
        kept = np.flatnonzero(labels >= 0)
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, min(len(kept), self.most)).astype(np.intp))]
        chosen = labels[kept]
        cluster = np.unique(chosen).astype(np.int32)
        if not 2 <= len(cluster) < len(kept):
            return {"silhouette": 0.0, "cluster_silhouette": np.zeros(len(cluster)), "cluster": cluster}
        values = silhouette_samples(embedding[kept], chosen)
        each = np.array([values[chosen == c].mean() for c in cluster])
        return {"silhouette": float(values.mean()), "cluster_silhouette": each, "cluster": cluster}


@final
@dataclass(frozen=True)
class Stability(Processor):
    """Cluster with several seeds: embedding (N, m), optional eigengap -> stability in [-1, 1].

    The mean adjusted Rand index (Hubert & Arabie 1985) of all pairs of k-means results, one start each.

    k: clusters; 0 takes the eigengap's, at least 2. seeds: how many (>= 2). seed: first; None: the run's.
    """

    k: int = 0
    seeds: int = 5
    seed: int | None = None

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("stability",)

    def __post_init__(self) -> None:
        if self.seeds < 2 or self.k < 0:
            raise RequestError(f"{self}: expected seeds >= 2 and k >= 0")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, float]:
        """Return the mean agreement."""
        if len(embedding) < 2:
            return {"stability": 1.0}
        first = self.seed or 0
        found = [
            KMeans(self.k, starts=1, seed=first + i)(embedding=embedding, eigengap=eigengap)["labels"]
            for i in range(self.seeds)
        ]
        return {"stability": float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(found, 2)]))}


@final
@dataclass(frozen=True)
class SmallestShare(Processor):
    """Measure the smallest cluster: labels (N,) -> smallest_share of all samples; 0 without clusters."""

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("smallest_share",)

    def __call__(self, *, labels: Array) -> dict[str, float]:
        """Return the share."""
        sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
        return {"smallest_share": float(sizes.min() / len(labels)) if len(sizes) else 0.0}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the scores."""
    return [
        ProcessorSpec("silhouette", Silhouette, cite="rousseeuw1987"),
        ProcessorSpec("stability", Stability, cite="hubert1985"),
        ProcessorSpec("smallest-share", SmallestShare),
    ]
