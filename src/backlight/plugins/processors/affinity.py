"""Neighbours -> symmetric graph: A = (A + Aᵀ)/2 of the directed kNN graph (von Luxburg 2007, section 2.2).

Weights: 1 ("binary"); exp(−d² / 2σ²) with σ the median neighbour distance ("gaussian"); or exp(−d² / σ_i σ_j)
with σ_i the distance to the middle neighbour of i ("local", Zelnik-Manor & Perona 2004). A mutual graph keeps
pairs that are neighbours of each other only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class KnnAffinity(Processor):
    """Join neighbours by edges: neighbours, distances (N, k) -> affinity (N, N) CSR float64, symmetric.

    weights: "binary" (1 for a neighbour, so 1/2 for a one-sided pair), "gaussian" (median-heuristic width) or
        "local" (a width for every sample).
    mutual: keep only pairs of which each is the other's neighbour.
    """

    weights: Literal["binary", "gaussian", "local"] = "binary"
    mutual: bool = False

    stage: ClassVar[Stage] = "affinity"
    yields: ClassVar[tuple[str, ...]] = ("affinity",)

    def __post_init__(self) -> None:
        if self.weights not in ("binary", "gaussian", "local"):
            raise RequestError(
                f"knn-affinity: weights is {self.weights!r}, expected binary, gaussian or local"
            )

    def __call__(self, *, neighbours: Array, distances: Array) -> dict[str, sp.csr_array]:
        """Return the symmetric graph."""
        n, k = neighbours.shape
        weights = np.ones(n * k)
        if self.weights == "gaussian":
            weights = _gaussian(distances.ravel().astype(np.float64))
        elif self.weights == "local":
            weights = _local(neighbours, distances.astype(np.float64))
        starts = np.arange(n + 1, dtype=np.int32) * k
        directed = sp.csr_array((weights, neighbours.ravel().astype(np.int32), starts), shape=(n, n))
        affinity = ((directed + directed.T) / 2).tocsr()
        if self.mutual:
            pattern = sp.csr_array((np.ones(n * k), directed.indices, starts), shape=(n, n))
            affinity = affinity.multiply(pattern.multiply(pattern.T)).tocsr()
        affinity.sort_indices()
        return {"affinity": affinity}


def _gaussian(distances: Array) -> Array:
    """Return exp(-d²/2σ²), σ the median distance; 1 everywhere when most are duplicates (σ = 0)."""
    width = np.median(distances) if len(distances) else 0.0
    return np.exp(-0.5 * np.square(distances / width)) if width > 0 else np.ones_like(distances)


def _local(neighbours: Array, distances: Array) -> Array:
    """Return exp(-d²/σ_i σ_j) of every neighbour, flat; 1 between duplicates."""
    if not distances.size:
        return np.zeros(0)
    width = distances[:, distances.shape[1] // 2]
    scale = (width[:, None] * width[neighbours]).ravel()
    squared = np.square(distances).ravel()
    exponent = np.divide(squared, scale, out=np.where(squared > 0, 50.0, 0.0), where=scale > 0)
    return np.asarray(np.exp(-np.minimum(exponent, 50.0)))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the kNN graph."""
    return [ProcessorSpec("knn-affinity", KnnAffinity, cite="vonluxburg2007")]
