"""t-SNE at a cost linear in the samples (Linderman et al. 2019), by openTSNE: extra `opentsne`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors.tsne import TSne

Array = NDArray[Any]

_FEW = 20


@final
@dataclass(frozen=True)
class OpenTSne(Processor):
    """Lay samples out in the plane: embedding (N, m) -> projection (N, 2); below 20 samples as `tsne`.

    perplexity: effective number of neighbours (> 0); at most (N - 1) / 3 is used.
    iterations: gradient steps after the first 250 (>= 1). seed: of the start; None takes the run's.
    """

    perplexity: float = 30.0
    iterations: int = 500
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("projection",)

    def __post_init__(self) -> None:
        if self.perplexity <= 0 or self.iterations < 1:
            raise RequestError(f"{self}: expected perplexity > 0 and iterations >= 1")

    def __call__(self, *, embedding: Array) -> dict[str, Array]:
        """Return the picture."""
        n = len(embedding)
        if n < _FEW or not np.ptp(embedding, axis=0).any():
            return TSne(self.perplexity, seed=self.seed)(embedding=embedding)
        try:
            from openTSNE import TSNE
        except ImportError:
            raise RequestError("opentsne needs openTSNE; try `pip install 'backlight[opentsne]'`") from None
        model = TSNE(
            perplexity=min(self.perplexity, (n - 1) / 3),
            n_iter=self.iterations,
            initialization="pca",
            random_state=self.seed or 0,
            n_jobs=1,
        )
        return {"projection": np.asarray(model.fit(embedding.astype(np.float64)), dtype=np.float32)}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer openTSNE."""
    return [ProcessorSpec("opentsne", OpenTSne, cite="linderman2019")]
