"""Further clusterings, on the leading spectral coordinates with rows of length 1.

By scikit-learn: DBSCAN (Ester et al. 1996), Ward's agglomeration (Ward 1963), Gaussian mixtures. And the
discretisation of spectral vectors by a rotation (Yu & Shi 2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN, AgglomerativeClustering
from sklearn.mixture import GaussianMixture

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._arrays import from_eigengap, largest_first, leading, unit_rows
from backlight.plugins.processors._rotation import discretised

Array = NDArray[Any]

_LEAVES = 32


@final
@dataclass(frozen=True)
class Dbscan(Processor):
    """Cluster by density at one scale: embedding (N, m), optional eigengap -> labels (N,) int32, -1 noise.

    eps: radius of a neighbourhood (> 0). samples: in it that make a core point (>= 1).
    dimensions: leading coordinates used; 0 takes the eigengap's, at least 2; -1 all.
    """

    eps: float = 0.2
    samples: int = 5
    dimensions: int = 0

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels",)

    def __post_init__(self) -> None:
        if self.eps <= 0 or self.samples < 1 or self.dimensions < -1:
            raise RequestError(f"{self}: expected eps > 0, samples >= 1 and dimensions >= -1")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return the clusters, largest first."""
        points = unit_rows(leading("dbscan", embedding, self.dimensions, eigengap))
        if not len(points):
            return {"labels": np.zeros(0, np.int32)}
        return {"labels": largest_first(DBSCAN(eps=self.eps, min_samples=self.samples).fit_predict(points))}


@final
@dataclass(frozen=True)
class Agglomerative(Processor):
    """Merge the closest clusters until k remain: embedding (N, m), optional eigengap -> labels, tree, leaves.

    `tree` holds the last merges over l parts as scipy's linkage does, (l - 1, 4); `leaves` the size and the
    cluster of these parts, (l, 2). l is 32, or k if that is more, at most N.

    k: number of clusters (>= 1); 0 takes the eigengap's, at least 2. linkage: what "closest" means.
    """

    k: int = 0
    linkage: Literal["ward", "average", "complete", "single"] = "ward"

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels", "tree", "leaves")

    def __post_init__(self) -> None:
        if self.k < 0:
            raise RequestError(f"agglomerative: k is {self.k}, expected at least 0")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return the clusters, largest first, and the end of the tree."""
        k, points = _count("agglomerative", self.k, embedding, eigengap)
        n = len(embedding)
        if k < 2:
            leaves = np.array([[n, 0]] if n else [], int).reshape(-1, 2)
            return {"labels": np.zeros(n, np.int32), "tree": np.zeros((0, 4)), "leaves": leaves}
        model = AgglomerativeClustering(
            k, linkage=self.linkage, compute_distances=True, compute_full_tree=True
        )
        model.fit(points)
        labels = largest_first(model.labels_)
        tree, leaves = _last_merges(model.children_, model.distances_, labels, max(_LEAVES, k))
        return {"labels": labels, "tree": tree, "leaves": leaves}


@final
@dataclass(frozen=True)
class Mixture(Processor):
    """Fit k normal densities: embedding (N, m), optional eigengap -> labels (N,) int32, probabilities (N,).

    k: number of densities (>= 1); 0 takes the eigengap's, at least 2. starts: restarts, the best is kept.
    seed: of the starts; None takes the run's.
    """

    k: int = 0
    starts: int = 3
    seed: int | None = None

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels", "probabilities")

    def __post_init__(self) -> None:
        if self.k < 0 or self.starts < 1:
            raise RequestError(f"{self}: expected k >= 0 and starts >= 1")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return the likeliest density of every sample, and its probability."""
        k, points = _count("mixture", self.k, embedding, eigengap)
        if k < 2:
            n = len(embedding)
            return {"labels": np.zeros(n, np.int32), "probabilities": np.ones(n, np.float32)}
        model = GaussianMixture(
            k, n_init=self.starts, reg_covar=1e-4, max_iter=500, random_state=self.seed or 0
        )
        labels = model.fit_predict(points)
        shares = model.predict_proba(points).max(axis=1)
        return {"labels": largest_first(labels), "probabilities": shares.astype(np.float32)}


@final
@dataclass(frozen=True)
class Discretisation(Processor):
    """Rotate spectral vectors to indicators: embedding (N, m), optional eigengap -> labels (N,) int32.

    k: number of clusters (>= 1); 0 takes the eigengap's, at least 2. seed: of the rotation; None: the run's.
    """

    k: int = 0
    seed: int | None = None

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels",)

    def __post_init__(self) -> None:
        if self.k < 0:
            raise RequestError(f"discretisation: k is {self.k}, expected at least 0")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return the clusters, largest first."""
        k, points = _count("discretisation", self.k, embedding, eigengap)
        if k < 2 or not np.square(points).sum(axis=1).all():
            return {"labels": np.zeros(len(embedding), np.int32)}
        return {"labels": largest_first(discretised(points, self.seed or 0))}


def _last_merges(children: Array, distances: Array, labels: Array, most: int) -> tuple[Array, Array]:
    """Return the tree over the last `most` parts, and their sizes and clusters."""
    n = len(labels)
    size, cluster = np.ones(2 * n - 1), np.concatenate([labels, np.zeros(n - 1, labels.dtype)])
    for merge, (a, b) in enumerate(children):
        size[n + merge], cluster[n + merge] = size[a] + size[b], cluster[a]
    shown = min(most, n)
    kept = children[n - shown :]
    parts = np.setdiff1d(kept, np.arange(2 * n - shown, 2 * n - 1))
    number = np.empty(2 * n - 1)
    number[parts] = np.arange(shown)
    number[2 * n - shown :] = np.arange(shown, 2 * shown - 1)
    tree = np.column_stack([number[kept], distances[n - shown :], size[2 * n - shown :]])
    return tree, np.column_stack([size[parts], cluster[parts]]).astype(int)


def _count(name: str, k: int, embedding: Array, eigengap: int | None) -> tuple[int, Array]:
    """Return how many clusters there can be, and the coordinates they are looked for in."""
    wanted = from_eigengap(f"{name}: k", k, eigengap)
    points = unit_rows(embedding[:, :wanted])
    return min(wanted, len(np.unique(points, axis=0)), points.shape[1]), points


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the clusterings."""
    return [
        ProcessorSpec("dbscan", Dbscan, cite="ester1996"),
        ProcessorSpec("agglomerative", Agglomerative, cite="ward1963"),
        ProcessorSpec("mixture", Mixture),
        ProcessorSpec("discretisation", Discretisation, cite="yu2003"),
    ]
