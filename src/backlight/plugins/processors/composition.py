"""Composition of clusters: how many samples, how pure in predictions and labels, what share trained on."""

from __future__ import annotations

from collections.abc import Callable
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
    """Describe each cluster: labels (N,), optional prediction, label (N,), train (N,) bool -> a value each.

    `cluster_size` counts samples, `purity` is the share of the most frequent prediction, `label_purity` of
    the most frequent true class, `train_share` the share of training samples, NaN where these are not known;
    `cluster` are the clusters' labels, noise excluded.
    """

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("cluster_size", "purity", "label_purity", "train_share", "cluster")

    def __call__(
        self,
        *,
        labels: Array,
        prediction: Array | None = None,
        label: Array | None = None,
        train: Array | None = None,
    ) -> dict[str, Array]:
        """Return one value of each kind per cluster."""
        cluster, size = np.unique(labels[labels >= 0], return_counts=True)
        members = [labels == c for c in cluster]

        def each(values: Array | None, measure: Callable[[Array], Any]) -> Array:
            return np.array([np.nan if values is None else measure(values[m]) for m in members], dtype=float)

        return {
            "cluster_size": size.astype(np.int64),
            "purity": each(prediction, _purity),
            "label_purity": each(label, _purity),
            "train_share": each(train, np.mean),
            "cluster": cluster.astype(np.int32),
        }


def _purity(values: Array) -> float:
    """Return the share of the most frequent value."""
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer cluster sizes and purities."""
    return [ProcessorSpec("composition", Composition)]
