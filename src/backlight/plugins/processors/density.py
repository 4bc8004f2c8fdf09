"""HDBSCAN on spectral coordinates (Campello, Moulavi & Sander 2013), by scikit-learn.

A cluster's persistence is its stability, the sum over members x of λ_x − λ_birth, as a share of the most that
so many members could have, n·λ_max: λ = 1/distance at which a member leaves, the cluster appears, the last of
all leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.cluster._hdbscan._tree import _condense_tree

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._arrays import largest_first, leading, unit_rows

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Hdbscan(Processor):
    """Cluster by density: embedding (N, m), optional eigengap -> labels (N,) int32, probabilities float32.

    Label -1 is noise, with probability 0. With fewer than max(2, smallest) samples all are noise.
    `persistence`, (clusters,) in [0, 1], says over what range of densities each cluster lasts.

    smallest: least size of a cluster (>= 2); 0 takes a twentieth of the samples, at least 5.
    samples: neighbours that make a core point (>= 1); 0 takes `smallest`.
    dimensions: leading coordinates used; 0 takes the eigengap's, at least 2; -1 all.
    unit_rows: scale each row to length 1 first, so that directions are clustered.
    """

    smallest: int = 0
    samples: int = 0
    dimensions: int = 0
    unit_rows: bool = True

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels", "probabilities", "persistence")

    def __post_init__(self) -> None:
        if self.smallest < 0 or self.smallest == 1 or self.samples < 0 or self.dimensions < -1:
            raise RequestError(f"{self}: expected smallest 0 or >= 2, samples >= 0 and dimensions >= -1")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return clusters and how strongly each sample belongs."""
        n = len(embedding)
        points = leading("hdbscan", embedding, self.dimensions, eigengap)
        smallest = self.smallest or max(5, n // 20)
        samples = self.samples or smallest
        if n < max(2, smallest, samples):
            none = np.zeros(n, np.float32)
            return {"labels": np.full(n, -1, np.int32), "probabilities": none, "persistence": none[:0]}
        if self.unit_rows:
            points = unit_rows(points)
        model = HDBSCAN(min_cluster_size=smallest, min_samples=samples, n_jobs=1, copy=True).fit(points)
        labels = largest_first(model.labels_)
        return {
            "labels": labels,
            "probabilities": np.nan_to_num(model.probabilities_).astype(np.float32),
            "persistence": _persistence(_condense_tree(model._single_linkage_tree_, smallest), labels),
        }


def _persistence(tree: Array, labels: Array) -> Array:
    """Return each cluster's persistence, (c,) float32, by the condensed tree; 1 if duplicates never part."""
    parent, child, scale, size = (tree[name] for name in ("parent", "child", "value", "cluster_size"))
    above, born, held = (dict(zip(child.tolist(), x.tolist(), strict=True)) for x in (parent, scale, size))
    found = np.ones(labels.max(initial=-1) + 1, np.float32)
    if not np.isfinite(scale).all():
        return found
    for cluster in range(len(found)):
        members = np.flatnonzero(labels == cluster)
        node = above[int(members[0])]
        while held[node] < len(members):  # up to the node that holds them all
            node = above[node]
        inside = parent == node
        stability = ((scale[inside] - born[node]) * size[inside]).sum()
        found[cluster] = stability / (len(members) * scale.max())
    return found


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer HDBSCAN."""
    return [ProcessorSpec("hdbscan", Hdbscan, cite="campello2013")]
