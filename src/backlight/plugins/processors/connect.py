"""Connectivity repair: components of a graph joined by their nearest pairs, the fewest and shortest edges.

Borůvka's algorithm on the components (Borůvka 1926): in every round each component but the largest is joined
to the nearest sample outside of it, until one is left. The new edges are the minimum spanning tree of the
components under the distance of their nearest samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csgraph

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]

_BLOCK = 512


@final
@dataclass(frozen=True)
class Connect(Processor):
    """Make a graph connected: affinity (N, N) sparse, features (N, D) -> affinity, c - 1 edges more.

    A new edge weighs as much as the weakest there is (1 where there is none). Without it, components are
    clusters by themselves, and eigenvectors tell nothing about their order.
    """

    stage: ClassVar[Stage] = "affinity"
    yields: ClassVar[tuple[str, ...]] = ("affinity",)

    def __call__(self, *, affinity: sp.csr_array, features: Array) -> dict[str, sp.csr_array]:
        """Return the connected graph."""
        n = affinity.shape[0]
        if len(features) != n:
            raise RequestError(f"connect: a graph of {n} samples got features of {len(features)}")
        count, part = csgraph.connected_components(affinity, directed=False)
        edges = _edges(np.asarray(features, dtype=np.float64), part, count)
        positive = affinity.data[affinity.data > 0]
        weights = np.full(len(edges), positive.min() if len(positive) else 1.0)
        one = sp.csr_array((weights, (edges[:, 0], edges[:, 1])), shape=(n, n))
        joined = sp.csr_array(affinity + one + one.T)
        joined.sort_indices()
        return {"affinity": joined}


def _edges(points: Array, part: Array, count: int) -> Array:
    """Return the pairs of samples that join all parts, (count - 1, 2); part: (n,) part of every sample."""
    joined, edges = DisjointSet(range(count)), []
    while joined.n_subsets > 1:
        root = np.array([joined[p] for p in range(count)])[part]
        names, size = np.unique(root, return_counts=True)
        small = np.flatnonzero(root != names[size.argmax()])
        other, distance = _nearest_outside(points, root, small)
        for position in np.lexsort((other, small, distance)):
            sample, near = small[position], other[position]
            # Longer edges of a part that an edge of this round has joined already wait for the next.
            if root[sample] != -1 and joined.merge(part[sample], part[near]):
                edges.append((sample, near))
            root[root == root[sample]] = -1
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def _nearest_outside(points: Array, root: Array, rows: Array) -> tuple[Array, Array]:
    """Return the nearest sample of another part for each of some samples, and how far it is."""
    norms = np.square(points).sum(axis=1)
    nearest = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        squared = norms - 2 * points[block] @ points.T
        squared[root[block][:, None] == root] = np.inf
        nearest[start : start + _BLOCK] = squared.argmin(axis=1)
    return nearest, np.linalg.norm(points[rows] - points[nearest], axis=1)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer connectivity repair."""
    return [ProcessorSpec("connect", Connect, cite="boruvka1926")]
