"""Tau: linear separability of clusters by Fisher discriminant analysis (Fisher 1936; Anders et al. 2022).

With within-cluster scatter S_w = Σ_c Σ_{i∈c} (x_i − μ_c)(x_i − μ_c)ᵀ and between-cluster scatter
S_b = Σ_c n_c (μ_c − μ)(μ_c − μ)ᵀ over all clusters but noise, tau is the largest eigenvalue of S_w⁻¹ S_b.
S_w is shrunk towards a multiple of the identity, (1 − s)·S_w + s·tr(S_w)/D·I, and floored at 10⁻⁶·tr(S_w +
S_b)/D, which bounds tau for clusters that are single points. Tau grows with the number of clusters and of
dimensions: compare it with its baseline, the mean tau of the same labels dealt out at random, and between
equal numbers of clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Tau(Processor):
    """Measure how separable clusters are: embedding (N, m), labels (N,) -> tau and the values below.

    tau is 0 with fewer than two clusters. `baseline` is the mean tau over permuted labels; `cluster_tau` is
    tau of each cluster against the rest, `cluster` their labels, `cluster_count` how many there are, noise
    excluded.

    shrinkage: share of S_w replaced by its mean eigenvalue, in [0, 1].
    permutations: random deals for the baseline (0: it is 0).
    seed: of the deals; None takes the run's.
    """

    shrinkage: float = 0.01
    permutations: int = 20
    seed: int | None = None

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("tau", "baseline", "cluster_count", "cluster_tau", "cluster")

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage <= 1 or self.permutations < 0:
            raise RequestError(f"{self}: expected shrinkage in [0, 1] and permutations >= 0")

    def __call__(self, *, embedding: Array, labels: Array) -> dict[str, Any]:
        """Return tau, its baseline and tau of every cluster."""
        kept = labels >= 0
        cluster, member = np.unique(labels[kept], return_inverse=True)
        points = embedding[kept].astype(np.float64)
        points = points - points.mean(axis=0) if len(points) else points
        random = np.random.default_rng(self.seed or 0)
        chance = [self._tau(points, random.permutation(member)) for _ in range(self.permutations)]
        return {
            "tau": self._tau(points, member),
            "baseline": float(np.mean(chance)) if chance else 0.0,
            "cluster_count": len(cluster),
            "cluster_tau": np.array(
                [self._tau(points, (member == c).astype(np.intp)) for c in range(len(cluster))]
            ),
            "cluster": cluster.astype(np.int32),
        }

    def _tau(self, points: Array, member: Array) -> float:
        """Return the largest eigenvalue of S_w⁻¹ S_b for centred points and labels 0 … c - 1."""
        size = np.bincount(member)
        if np.count_nonzero(size) < 2 or points.shape[1] == 0:
            return 0.0
        sums = np.zeros((len(size), points.shape[1]))
        np.add.at(sums, member, points)
        roots = sums / np.sqrt(size)[:, None]
        total = points.T @ points
        between = roots.T @ roots
        within = total - between
        d = points.shape[1]
        spread = np.trace(total) / d
        if spread <= 0:
            return 0.0
        ridge = max(self.shrinkage * np.trace(within) / d, 1e-6 * spread)
        within = (1 - self.shrinkage) * within + ridge * np.eye(d)
        return float(scipy.linalg.eigh(between, within, eigvals_only=True, subset_by_index=(d - 1, d - 1))[0])


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer tau."""
    return [ProcessorSpec("tau", Tau, cite="anders2022")]
