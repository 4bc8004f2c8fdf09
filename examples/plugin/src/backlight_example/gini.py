"""Gini index of a map's absolute values (Hurley & Rickard 2009): 0 for an even map, near 1 for one pixel.

With |x| ascending, G = Σ_i (2i − D − 1)·|x|_i / (D·Σ|x|), i = 1 … D. Artefacts are often small and always
in one place, so that clusters that rely on one have concentrated maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from numpy.typing import NDArray


@final
@dataclass(frozen=True)
class Gini(Processor):
    """Measure how concentrated maps are: features (N, D), labels (N,) -> gini, cluster_gini and cluster (K,).

    power: maps are raised to it first; larger values look at the peaks only (> 0).
    """

    power: float = 1.0

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("gini", "cluster_gini", "cluster")

    def __call__(self, *, features: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
        """Return the mean over all samples, and over those of each cluster."""
        each = gini(np.abs(features, dtype=np.float64) ** self.power)
        cluster = np.unique(labels[labels >= 0]).astype(np.int32)
        means = np.array([each[labels == k].mean() for k in cluster])
        return {"gini": float(each.mean()) if len(each) else 0.0, "cluster_gini": means, "cluster": cluster}


def gini(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Gini index of every row of (N, D) non-negative numbers; 0 for a row of zeros."""
    width = sizes.shape[1]
    rank = 2 * np.arange(1, width + 1) - width - 1
    total = width * sizes.sum(axis=1)
    found: NDArray[np.float64] = (np.sort(sizes, axis=1) * rank).sum(axis=1) / np.where(total > 0, total, 1)
    return found


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the processor."""
    return [ProcessorSpec("gini", Gini)]
