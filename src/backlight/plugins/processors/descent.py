"""Neighbours by nearest-neighbour descent (Dong et al. 2011), by pynndescent: extra `ann`."""

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
class DescentKnn(Processor):
    """Find most of the k nearest others: features (N, D) -> neighbours, distances, both (N, k).

    What share is found depends on the data and is not measured: for Euclidean, cosine and correlation
    distance take `approximate-knn`. Below `exact` samples they are found exactly.

    k: number of neighbours (>= 1). metric: one that pynndescent knows. pool: descend with so many times k
    neighbours and keep the nearest (>= 1). seed: None takes the run's.
    """

    k: int = 32
    metric: str = "euclidean"
    pool: int = 3
    exact: int = 2000
    seed: int | None = None

    stage: ClassVar[Stage] = "neighbours"
    yields: ClassVar[tuple[str, ...]] = ("neighbours", "distances")

    def __post_init__(self) -> None:
        if self.k < 1 or self.pool < 1:
            raise RequestError(f"{self}: expected k >= 1 and pool >= 1")

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the neighbours, nearest first."""
        if len(features) <= max(self.exact, self.k * self.pool + 1):
            from backlight.plugins.processors.similarity import MetricKnn

            return MetricKnn(self.k, self.metric)(features=features)
        try:
            from pynndescent import NNDescent
        except ImportError:
            raise RequestError("descent-knn needs pynndescent; try `pip install 'backlight[ann]'`") from None
        wanted = self.k * self.pool + 1
        model = NNDescent(features, metric=self.metric, n_neighbors=wanted, random_state=self.seed or 0)
        index, distances = model.neighbor_graph
        return _without_self(np.asarray(index), np.asarray(distances), self.k)


def _without_self(index: Array, distances: Array, k: int) -> dict[str, Array]:
    """Drop each sample from its own list, or the last entry where it is not there; keep k."""
    own = index == np.arange(len(index))[:, None]
    own[~own.any(axis=1), -1] = True
    kept = np.arange(index.shape[1])[None] != own.argmax(axis=1)[:, None]
    others = (len(index), index.shape[1] - 1)
    return {
        "neighbours": index[kept].reshape(others)[:, :k].astype(np.int32),
        "distances": distances[kept].reshape(others)[:, :k].astype(np.float32),
    }


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer neighbours by descent."""
    return [ProcessorSpec("descent-knn", DescentKnn, cite="dong2011")]
