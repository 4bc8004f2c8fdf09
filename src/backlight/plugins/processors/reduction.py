"""Fewer features: principal components and random projection (Johnson & Lindenstrauss 1984)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.random_projection import GaussianRandomProjection

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._counts import positive
from backlight.plugins.processors.spectral import fix_signs

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Pca(Processor):
    """Embed by principal components: features (N, D) -> embedding (N, m), variances (m,), m at most N and D.

    m: number of components (>= 1). seed: of the randomised solver, for many features; None takes the run's.
    """

    m: int = 32
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding", "variances")

    def __post_init__(self) -> None:
        positive("pca", m=self.m)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the components' scores, signs fixed."""
        m = min(self.m, *features.shape)
        if (features == features[:1]).all():  # none, one, or equal ones: no direction has any variance
            return {"embedding": np.zeros((len(features), m)), "variances": np.zeros(m)}
        model = PCA(m, random_state=self.seed or 0)
        return {"embedding": fix_signs(model.fit_transform(features)), "variances": model.explained_variance_}


@final
@dataclass(frozen=True)
class RandomProjection(Processor):
    """Project features at random, which keeps distances about: (N, D) -> (N, min(m, D)) float32.

    m: number of features that remain (>= 1). seed: of the projection; None takes the run's.
    """

    m: int = 256
    seed: int | None = None

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("features",)

    def __post_init__(self) -> None:
        positive("random-projection", m=self.m)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the projected features."""
        if features.shape[1] <= self.m or not len(features):
            return {"features": features}
        model = GaussianRandomProjection(self.m, random_state=self.seed or 0)
        return {"features": model.fit_transform(features).astype(np.float32)}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer both."""
    return [ProcessorSpec("pca", Pca), ProcessorSpec("random-projection", RandomProjection)]
