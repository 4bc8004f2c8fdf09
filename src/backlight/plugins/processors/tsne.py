"""t-SNE picture of an embedding (van der Maaten & Hinton 2008), by scikit-learn: to see, not to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]

_WORTH_THREADS = 2000


@final
@dataclass(frozen=True)
class TSne(Processor):
    """Lay samples out in the plane: embedding (N, m) -> projection (N, 2) float32.

    Fewer than four samples are put on a line, in order.

    perplexity: effective number of neighbours (> 0); at most (N - 1) / 3 is used.
    dimensions: leading coordinates used; -1 all.
    iterations: gradient steps (>= 250).
    seed: of the start; None takes the run's.
    """

    perplexity: float = 30.0
    dimensions: int = -1
    iterations: int = 1000
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("projection",)

    def __post_init__(self) -> None:
        if self.perplexity <= 0 or self.iterations < 250 or self.dimensions < -1:
            raise RequestError(f"{self}: expected perplexity > 0, iterations >= 250 and dimensions >= -1")

    def __call__(self, *, embedding: Array) -> dict[str, Array]:
        """Return the picture."""
        n = len(embedding)
        points = embedding if self.dimensions == -1 else embedding[:, : self.dimensions]
        if n < 4 or not np.ptp(points, axis=0).any():
            return {"projection": np.stack([np.arange(n), np.zeros(n)], axis=1).astype(np.float32)}
        model = TSNE(
            perplexity=min(self.perplexity, (n - 1) / 3),
            init="pca" if min(points.shape) >= 2 else "random",
            max_iter=self.iterations,
            random_state=self.seed or 0,
            n_jobs=1,
        )
        # A thousand steps of microseconds: more threads would wait, not work: tenfold time when busy.
        with threadpool_limits(1 if n < _WORTH_THREADS else None):
            projection = model.fit_transform(points.astype(np.float32))
        return {"projection": projection.astype(np.float32)}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer t-SNE."""
    return [ProcessorSpec("tsne", TSne, cite="vandermaaten2008")]
