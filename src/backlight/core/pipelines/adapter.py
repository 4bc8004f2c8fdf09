"""Steps that are no processors of ours: scikit-learn transformers and clusterers, and plain functions.

An estimator is cloned before it is fitted, so that a step stays frozen and a pipeline can be run twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.processor import Processor, Stage, check_fields

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
        return {"embedding": np.asarray(_fitted(self.estimator, self.seed, "fit_transform", features))}


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
        labels = _fitted(self.estimator, self.seed, "fit_predict", embedding)
        return {"labels": np.asarray(labels, dtype=np.int32)}


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
    if is_estimator(thing):
        return Clusterer(thing) if hasattr(thing, "fit_predict") else Transformer(thing)
    if callable(thing):
        return Function(thing)
    raise RequestError(
        f"{thing!r} is no processor, transformer, clusterer or function, so it can't be a step"
    )


def is_estimator(thing: Any) -> bool:
    """Tell whether something is a scikit-learn transformer or clusterer, or the class of one."""
    return hasattr(thing, "fit_predict") or hasattr(thing, "fit_transform")


def altered(step: str, processor: Processor, changes: Mapping[str, Any]) -> Processor:
    """Return a processor with other parameters, which of a wrapped estimator are the estimator's own.

    Raises RequestError naming the step for those that it has not.
    """
    if not isinstance(processor, Transformer | Clusterer):
        check_fields(f"step {step!r}", type(processor), changes)
        return dataclasses.replace(processor, **changes)  # type: ignore[type-var]
    check_fields(f"step {step!r}", type(processor.estimator), changes)
    return dataclasses.replace(processor, estimator=_copy(processor.estimator).set_params(**changes))


def _copy(estimator: Any) -> Any:
    from sklearn.base import clone

    return clone(estimator)


def _fitted(estimator: Any, seed: int | None, call: str, points: Array) -> Any:
    """Return what a copy of an estimator makes of the points; RequestError with its reason where it won't."""
    copy = _copy(estimator)
    if "random_state" in copy.get_params() and copy.get_params()["random_state"] is None:
        copy.set_params(random_state=seed or 0)
    try:
        return getattr(copy, call)(points)
    except ValueError as error:
        raise RequestError(f"{type(estimator).__name__}: {error}") from error
