"""Homophily: how far clusters keep to themselves among nearest neighbours, beyond chance (Coleman 1958).

For a sample of cluster c, with s_c of n samples, its q = min(k, s_c − 1) nearest others count, of which a
share is in c too. H_c is the mean share over c, w_c = (s_c − 1)/(n − 1) what it is by chance, and the index
(H_c − w_c)/(1 − w_c) is 0 by chance and 1 where no neighbour belongs elsewhere, for clusters of any size.
Unlike tau it needs no embedding, and unlike contrast no single place where a strategy shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Homophily(Processor):
    """Say how closed clusters are: neighbours (N, k), nearest first, labels (N,) -> homophily, at most 1.

    `homophily` is the mean over clusters, `cluster_homophily` each one's index, `cluster` their labels, noise
    excluded. All are 0 with fewer than two clusters, and for a cluster of one sample.
    """

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("homophily", "cluster_homophily", "cluster")

    def __call__(self, *, neighbours: Array, labels: Array) -> dict[str, Any]:
        """Return the index of every cluster, and their mean."""
        cluster = np.unique(labels[labels >= 0]).astype(np.int32)
        each = np.zeros(len(cluster))
        if len(cluster) > 1:
            each = np.array([_index(neighbours, labels == c) for c in cluster])
        return {
            "homophily": float(each.mean()) if len(each) else 0.0,
            "cluster_homophily": each,
            "cluster": cluster,
        }


def _index(neighbours: Array, inside: NDArray[np.bool_]) -> float:
    """Return the index of the cluster whose members are `inside`, (N,)."""
    others = int(inside.sum()) - 1
    near = neighbours[inside, :others]
    if not near.size:
        return 0.0
    chance = others / (len(inside) - 1)
    return float((inside[near].mean() - chance) / (1 - chance))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer homophily."""
    return [ProcessorSpec("homophily", Homophily, cite="coleman1958")]
