"""Contrast: what a cluster's maps show and the rest of the class does not, in deviations (Cohen 1988, d).

For cluster c and feature j, d_cj = (mean_c x_j − mean_rest x_j) / √(v_j + v̄), with v_j the variance within
cluster and rest, pooled, and v̄ its mean over features, which keeps silent pixels silent. A cluster's
contrast is max_j d_cj: signed, because a shortcut is relevance that is *there*. Its complement lacks it, is
otherwise as separable, and scores low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]

_BLOCK = 1024


@final
@dataclass(frozen=True)
class Contrast(Processor):
    """Find the cluster with a strategy of its own: features (N, D), labels (N,) -> contrast and more.

    `cluster_contrast` and `cluster_feature` are each cluster's contrast and the feature that has it,
    `cluster` their labels, noise excluded; `contrast` is the largest and `suspicious_cluster` the one that
    has it. With fewer than two clusters contrast is 0 and the suspicious cluster -1.
    """

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = (
        "contrast",
        "suspicious_cluster",
        "cluster_contrast",
        "cluster_feature",
        "cluster",
    )

    def __call__(self, *, features: Array, labels: Array) -> dict[str, Any]:
        """Return contrasts, and the cluster that has the largest."""
        cluster = np.unique(labels[labels >= 0]).astype(np.int32)
        if len(cluster) < 2:
            none = np.zeros(len(cluster))
            return {
                "contrast": 0.0,
                "suspicious_cluster": -1,
                "cluster_contrast": none,
                "cluster_feature": none.astype(np.int32),
                "cluster": cluster,
            }
        found = effects(features, labels[:, None] == cluster)
        values = found.max(axis=1)
        return {
            "contrast": float(values.max()),
            "suspicious_cluster": int(cluster[values.argmax()]),
            "cluster_contrast": values,
            "cluster_feature": found.argmax(axis=1).astype(np.int32),
            "cluster": cluster,
        }


def effects(features: Array, inside: NDArray[np.bool_]) -> Array:
    """Return (c, D) standardised differences of the means inside and outside of c sets, given as (N, c).

    No set may be empty or hold every sample. One pass in blocks: a copy of all features in double would
    take twice their memory.
    """
    n, d = features.shape
    centre = features.mean(axis=0, dtype=np.float64)
    sums, squares = np.zeros((inside.shape[1], d)), np.zeros(d)
    for start in range(0, n, _BLOCK):
        block = features[start : start + _BLOCK] - centre
        sums += inside[start : start + _BLOCK].T.astype(np.float64) @ block
        squares += np.einsum("ij,ij->j", block, block)
    size = inside.sum(axis=0)[:, None]
    a, b = sums / size, -sums / (n - size)  # features are centred: outside they sum to minus those inside
    variance = np.maximum(squares - size * a**2 - (n - size) * b**2, 0.0) / n
    resolution = float(np.finfo(np.float32).eps) * max(float(np.abs(features).max()), 1e-30)
    floor = variance.mean(axis=1, keepdims=True) + resolution**2  # equal maps differ by rounding
    return np.asarray((a - b) / np.sqrt(variance + floor))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the contrast and the suspicious cluster it points at."""
    return [ProcessorSpec("contrast", Contrast, cite="cohen1988")]
