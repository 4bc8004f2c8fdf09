"""k-means on the first k spectral coordinates with rows of length 1 (Ng, Jordan & Weiss 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans as Lloyd

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._arrays import from_eigengap, largest_first, leading, unit_rows

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class KMeans(Processor):
    """Partition into k clusters: embedding (N, m), optional eigengap -> labels (N,) int32, largest first.

    k is at most the number of different rows. Other embeddings than spectral ones: dimensions=-1,
    unit_rows=False.

    k: number of clusters (>= 1); 0 takes the eigengap's, at least 2.
    dimensions: leading coordinates used; 0 takes k (after Ng et al.), -1 all.
    unit_rows: scale each row to length 1 first, so that directions are clustered.
    starts: restarts, of which the best is kept.
    seed: of the starts; None takes the run's.
    """

    k: int = 0
    dimensions: int = 0
    unit_rows: bool = True
    starts: int = 10
    seed: int | None = None

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels",)

    def __post_init__(self) -> None:
        if self.k < 0 or self.dimensions < -1 or self.starts < 1:
            raise RequestError(f"{self}: expected k >= 0, dimensions >= -1 and starts >= 1")

    def __call__(self, *, embedding: Array, eigengap: int | None = None) -> dict[str, Array]:
        """Return the cluster of every sample."""
        k = from_eigengap("kmeans: k", self.k, eigengap)
        points = leading("kmeans", embedding, self.dimensions or k, None)
        if self.unit_rows:
            points = unit_rows(points)
        k = min(k, len(np.unique(points, axis=0)))
        if k < 2:
            return {"labels": np.zeros(len(points), np.int32)}
        labels = Lloyd(k, n_init=self.starts, random_state=self.seed or 0).fit_predict(points)
        return {"labels": largest_first(labels)}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer k-means."""
    return [ProcessorSpec("kmeans", KMeans, cite="ng2001")]
