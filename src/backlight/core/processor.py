"""The processor contract: a pure step from named inputs to named outputs."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

Stage = Literal[
    "attribution", "preprocessing", "neighbours", "affinity", "laplacian", "embedding", "clustering", "score", "card", "pipeline"
]


class Processor(ABC):
    """One step of an analysis, or one attribution method.

    Implementations are final frozen dataclasses: fields are the parameters, so repr, equality, hashing, pickling
    and cache keys come free. A field called `seed` receives the run's seed. The parameters of `__call__` are the
    named inputs (optional where they have a default); it returns one value for every name in `yields` and must
    not change its inputs.
    """

    stage: ClassVar[Stage]
    yields: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> dict[str, Any]:
        """Compute the outputs from the inputs."""

    @classmethod
    def needs(cls) -> tuple[str, ...]:
        """Names of the required inputs."""
        return tuple(p.name for p in cls._ports() if p.default is p.empty)

    @classmethod
    def accepts(cls) -> tuple[str, ...]:
        """Names of all inputs, required and optional."""
        return tuple(p.name for p in cls._ports())

    @classmethod
    def _ports(cls) -> list[inspect.Parameter]:
        parameters = list(inspect.signature(cls.__call__).parameters.values())[1:]
        return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
