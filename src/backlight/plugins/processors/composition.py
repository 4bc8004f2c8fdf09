"""Composition of clusters: how many samples, how pure in the model's predictions, what share trained on."""

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
class Composition(Processor):
    """Describe each cluster: labels (N,), optional prediction (N,), train (N,) bool -> one value per cluster.

    `cluster_size` counts samples, `purity` is the share of the most frequent prediction, `train_share` the
    share of training samples, NaN where predictions or the split are not known; `cluster` are the labels,
    noise excluded.
    """

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("cluster_size", "purity", "train_share", "cluster")

    def __call__(
        self, *, labels: Array, prediction: Array | None = None, train: Array | None = None
    ) -> dict[str, Array]:
        """Return one value of each kind per cluster."""
        cluster, size = np.unique(labels[labels >= 0], return_counts=True)
        members = [labels == c for c in cluster]
        unknown = np.full(len(cluster), np.nan)
        return {
            "cluster_size": size.astype(np.int64),
            "purity": unknown if prediction is None else np.array([_purity(prediction[m]) for m in members]),
            "train_share": unknown if train is None else np.array([np.mean(train[m]) for m in members]),
            "cluster": cluster.astype(np.int32),
        }


def _purity(values: Array) -> float:
    """Return the share of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer cluster sizes and purities."""
    return [ProcessorSpec("composition", Composition)]
