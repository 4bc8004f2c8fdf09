"""What every plugin has to be, whatever its kind: described, buildable, and a value."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

from backlight.core.hookspecs import Kind, PluginSpec
from backlight.core.registry import registry, required_parameters
from backlight.testing.require import ConformanceError, require

CONTRACTS: Mapping[Kind, str] = {
    "rule": "backlight.core.rule:Rule",
    "composite": "backlight.core.composite:Composite",
    "canonizer": "backlight.core.canonizer:Canonizer",
    "processor": "backlight.core.processor:Processor",
    "panel": "backlight.core.panel:Panel",
}
"""Kind -> the class that what its factory returns is an instance of."""


def check_registry_entry(kind: Kind, name: str, **parameters: Any) -> None:
    """Check one installed plugin: valid descriptor, buildable, a frozen dataclass, and a value.

    A value equals and hashes like another one built alike, is rebuilt by its repr, and survives pickling.

    Args:
        kind: "rule", "composite", "canonizer", "processor" or "panel".
        name: the plugin's public name, or `distribution/name`.
        parameters: values of the parameters that have no default.

    Raises:
        AssertionError: with what to mend.
        PluginError: if the plugin cannot be found or loaded at all.
    """
    spec = registry().spec(kind, name)
    what = f"{kind} {name!r}"
    _check_description(what, spec)
    missing = [n for n in required_parameters(spec.factory) if n not in parameters]
    require(not missing, f"{what} needs {', '.join(missing)}: give it defaults, or pass values to this check")
    one = registry().create(kind, name, **parameters)
    other = registry().create(kind, name, **parameters)
    _check_type(what, kind, one)
    _check_equality(what, one, other)
    _check_pickling(what, one)
    _check_repr(what, one)


def _check_description(what: str, spec: PluginSpec) -> None:
    problem = spec.problem()
    require(problem is None, f"{what}: {problem}")
    generated = isinstance(spec.factory, type) and spec.summary.startswith(f"{spec.factory.__name__}(")
    require(
        bool(spec.summary) and not generated,
        f"{what} says nowhere what it does: write a docstring; its first paragraph is shown in listings",
    )


def _check_type(what: str, kind: Kind, value: Any) -> None:
    module, _, name = CONTRACTS[kind].partition(":")
    contract = getattr(importlib.import_module(module), name)
    require(
        isinstance(value, contract), f"{what} builds a {type(value).__name__}: make it a subclass of {name}"
    )
    settings = getattr(value, "__dataclass_params__", None)
    frozen = settings is not None and settings.frozen
    require(frozen, f"{what}: decorate {type(value).__name__} with @dataclass(frozen=True)")
    require(
        not vars(value).keys() - {field.name for field in dataclasses.fields(value)},
        f"{what} keeps state beside its fields: {', '.join(vars(value))}",
    )


def _check_equality(what: str, one: Any, other: Any) -> None:
    require(
        one == other, f"{what}: two built alike differ; let the dataclass compare, and compare all fields"
    )
    try:
        same = hash(one) == hash(other)
    except TypeError as error:
        raise ConformanceError(f"{what} cannot be hashed ({error}): use tuples in place of lists") from error
    require(same, f"{what}: two built alike have different hashes; do not write __hash__ yourself")


def _check_repr(what: str, value: Any) -> None:
    names = {kind.__name__: kind for kind in _types(value)}
    text = repr(value)
    try:
        rebuilt = eval(text, {"inf": float("inf"), "nan": float("nan"), **names})
    except Exception as error:
        raise ConformanceError(
            f"{what}: its repr {text} cannot be evaluated ({type(error).__name__}: {error})"
        ) from error
    require(rebuilt == value, f"{what}: its repr {text} builds something else; show all fields in it")


def _types(value: Any) -> Iterator[type]:
    """Yield the types of the dataclasses in a value, at any depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for field in dataclasses.fields(value):
            yield from _types(getattr(value, field.name))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _types(item)
    elif isinstance(value, Mapping):
        for item in (*value.keys(), *value.values()):
            yield from _types(item)


def _check_pickling(what: str, value: Any) -> None:
    try:
        copy = pickle.loads(pickle.dumps(value))
    except Exception as error:
        raise ConformanceError(
            f"{what} cannot be pickled ({type(error).__name__}: {error}): define its class, and those of its "
            "fields, at the top of a module"
        ) from error
    require(copy == value, f"{what} is another after pickling: keep everything in fields")
