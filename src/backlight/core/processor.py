"""The processor contract: a pure step from named inputs to named outputs."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from backlight.core.errors import RequestError, unknown

Stage = Literal[
    "attribution",
    "preprocessing",
    "neighbours",
    "affinity",
    "laplacian",
    "embedding",
    "clustering",
    "score",
    "card",
    "pipeline",
]


class Processor(ABC):
    """One step of an analysis, or one attribution method.

    Implementations are final frozen dataclasses: fields are the parameters, so repr, equality, hashing,
    pickling and cache keys come free. A field called `seed` that is None receives the run's seed. The
    parameters of `__call__` are the named inputs (optional where they have a default); it returns one value
    for every name in `yields` and must not change its inputs.

    A step of stage score yields numbers, and arrays with one value per cluster beside an output `cluster`
    that holds the labels; a `suspicious_cluster` among its outputs is the label to look at first, and classes
    are ranked by a number called `suspicion`, higher first.
    """

    stage: ClassVar[Stage]
    yields: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> Mapping[str, Any]:
        """Compute the outputs from the inputs."""

    def parameters(self) -> dict[str, Any]:
        """Value of every field, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

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


def check_fields(what: str, factory: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Raise RequestError naming the first value that `factory` has no parameter for, or of another type."""
    hints = typing.get_type_hints(factory)
    names = list(inspect.signature(factory).parameters)
    for name, value in values.items():
        if name not in names:
            raise RequestError(f"{what} has {unknown('parameter', name, names)}")
        if not _fits(value, hints.get(name, Any)):
            raise RequestError(f"{what}: {name} is {value!r}, expected {_spelled(hints[name])}")


def _spelled(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    return str(getattr(hint, "__name__", hint)) if not typing.get_args(hint) else str(hint)


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a plain value has a plain type; anything more intricate is left to the processor."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return value in typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if hint in (int, float) and isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float)
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)
