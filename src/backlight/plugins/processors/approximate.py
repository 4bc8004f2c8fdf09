"""Approximate neighbours by nearest-neighbour descent (Dong et al. 2011), by pynndescent: extra `ann`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class ApproximateKnn(Processor):
    """Find most of the k nearest others: features (N, D) -> neighbours, distances, both (N, k).

    For classes of many ten thousand samples; below `exact` samples they are found exactly.

    k: number of neighbours (>= 1). metric: one that pynndescent knows. seed: None takes the run's.
    """

    k: int = 32
    metric: str = "euclidean"
    exact: int = 2000
    seed: int | None = None

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances")

    def __post_init__(self) -> None:
        if self.k < 1:
            raise RequestError(f"approximate-knn: k is {self.k}, expected at least 1")

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the neighbours, nearest first."""
        if len(features) <= max(self.exact, self.k + 1):
            from backlight.plugins.processors.similarity import MetricKnn

            return MetricKnn(self.k, self.metric)(features=features)
        try:
            from pynndescent import NNDescent
        except ImportError:
            raise RequestError(
                "approximate-knn needs pynndescent; try `pip install 'backlight[ann]'`"
            ) from None
        model = NNDescent(features, metric=self.metric, n_neighbors=self.k + 1, random_state=self.seed or 0)
        index, distances = model.neighbor_graph
        return _without_self(np.asarray(index), np.asarray(distances), self.k)


def _without_self(index: Array, distances: Array, k: int) -> dict[str, Array]:
    """Drop each sample from its own list, or the last entry where it is not there."""
    own = index == np.arange(len(index))[:, None]
    own[~own.any(axis=1), -1] = True
    first = own.argmax(axis=1)
    kept = np.arange(index.shape[1])[None] != first[:, None]
    return {
        "neighbours": index[kept].reshape(-1, k).astype(np.int32),
        "distances": distances[kept].reshape(-1, k).astype(np.float32),
    }


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer approximate neighbours."""
    return [ProcessorSpec("approximate-knn", ApproximateKnn, cite="dong2011")]
