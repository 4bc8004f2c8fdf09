"""Steps that are no processors of ours: scikit-learn transformers and clusterers, and plain functions.

An estimator is cloned before it is fitted, so that a step stays frozen and a pipeline can be run twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Transformer(Processor):
    """Embed by a scikit-learn transformer: features (N, D) -> embedding (N, m).

    seed: what a `random_state` of None becomes; None takes the run's.
    """

    estimator: Any
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding",)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Fit a copy of the transformer and return what it makes of the features."""
        return {"embedding": np.asarray(_copy(self.estimator, self.seed).fit_transform(features))}


@final
@dataclass(frozen=True)
class Clusterer(Processor):
    """Cluster by a scikit-learn clusterer: embedding (N, m) -> labels (N,) int32.

    seed: what a `random_state` of None becomes; None takes the run's.
    """

    estimator: Any
    seed: int | None = None

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels",)

    def __call__(self, *, embedding: Array) -> dict[str, Array]:
        """Fit a copy of the clusterer and return its labels."""
        return {"labels": np.asarray(_copy(self.estimator, self.seed).fit_predict(embedding), dtype=np.int32)}


@final
@dataclass(frozen=True)
class Function(Processor):
    """Change maps by a function: relevance (N, C, H, W) -> relevance, N unchanged."""

    function: Callable[[Array], Array]

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Apply the function."""
        return {"relevance": np.asarray(self.function(relevance))}


def as_processor(thing: Any) -> Processor:
    """Return a processor as it is, and anything else that can be a step wrapped in one.

    Raises RequestError for what is neither a processor, a scikit-learn estimator nor a function.
    """
    if isinstance(thing, Processor):
        return thing
    if hasattr(thing, "fit_predict"):
        return Clusterer(thing)
    if hasattr(thing, "fit_transform"):
        return Transformer(thing)
    if callable(thing):
        return Function(thing)
    raise RequestError(
        f"{thing!r} is no processor, transformer, clusterer or function, so it can't be a step"
    )


def _copy(estimator: Any, seed: int | None) -> Any:
    from sklearn.base import clone

    copy = clone(estimator)
    if "random_state" in copy.get_params() and copy.get_params()["random_state"] is None:
        copy.set_params(random_state=seed or 0)
    return copy
