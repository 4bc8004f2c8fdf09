"""Steps of a pipeline as plain data: processors by their public names, anything else by `module:name`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.core.errors import RequestError, unknown
from backlight.core.pipelines.adapter import Clusterer, Function, Transformer, as_processor, is_estimator
from backlight.core.pipelines.digest import qualified_name
from backlight.core.processor import Processor, check_fields
from backlight.core.registry import registry

if TYPE_CHECKING:
    from backlight.core.pipeline import Step

KEYS = ("name", "processor", "parameters", "inputs")


def step_to_dict(step: Step) -> dict[str, Any]:
    """Return plain data that `read_step` reads back; RequestError for a parameter that is none."""
    reference, parameters = _written(step.name, step.processor)
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str | tuple | None):
            raise RequestError(
                f"step {step.name!r} can't be written down: {name} is a {type(value).__name__}"
            )
    document: dict[str, Any] = {"name": step.name, "processor": reference}
    document["parameters"] = {name: value for name, value in parameters.items() if value is not None}
    return document | ({"inputs": step.sources} if step.inputs else {})


def read_step(document: Mapping[str, Any]) -> tuple[str, Processor, dict[str, str]]:
    """Return name, processor and inputs of a written step; raise RequestError naming what doesn't fit."""
    for key in document:
        if key not in KEYS:
            raise RequestError(f"a pipeline step has {unknown('key', key, KEYS)}")
    if "processor" not in document:
        raise RequestError(f"pipeline step {document.get('name', '?')!r} lacks the key 'processor'")
    reference = str(document["processor"])
    factory = _imported(reference) if ":" in reference else registry().spec("processor", reference).factory
    given, inputs = _table(document, "parameters"), _table(document, "inputs")
    parameters = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if isinstance(factory, type) or ":" not in reference:
        check_fields(f"processor {reference!r}", factory, parameters)
        made = as_processor(factory(**parameters))
    elif parameters:
        raise RequestError(f"processor {reference!r} is a function, which takes no parameters here")
    else:
        made = as_processor(factory)
    return str(document.get("name", reference)), made, {port: str(source) for port, source in inputs.items()}


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, Mapping):
        raise RequestError(
            f"pipeline step {document.get('name', '?')!r}: {key} is {table!r}, expected a table"
        )
    return dict(table)


def _written(step: str, processor: Processor) -> tuple[str, dict[str, Any]]:
    """Return the name of a processor, or of what it wraps, and the parameters it was made with."""
    if isinstance(processor, Function):
        return _reference(step, processor.function), {}
    if isinstance(processor, Transformer | Clusterer):
        kind = type(processor.estimator)
        defaults = {name: p.default for name, p in inspect.signature(kind).parameters.items()}
        chosen = processor.estimator.get_params(deep=False)
        if processor.seed is not None and chosen.get("random_state") is None:
            chosen["random_state"] = processor.seed
        return _reference(step, kind), {n: v for n, v in chosen.items() if v is not defaults[n]}
    return _public_name(type(processor)), processor.parameters()


def _reference(step: str, thing: Any) -> str:
    """Return the `module:name` that something can be imported by; RequestError where there is none."""
    with contextlib.suppress(AttributeError, RequestError):
        reference = qualified_name(thing)
        if _imported(reference) is thing:
            return reference
    raise RequestError(
        f"step {step!r} can't be written down: {thing!r} is nothing that a module defines by name"
    )


def _public_name(kind: type[Processor]) -> str:
    """Return the name a processor is installed under, or `module:class` for one that isn't a plugin."""
    plugins = registry()
    for entry in plugins.entries("processor"):
        if entry.module == kind.__module__:
            plugins.load(entry)
    return plugins.name_of("processor", kind) or qualified_name(kind)


def _imported(reference: str) -> Any:
    """Return the processor, estimator or function that a `module:name` stands for."""
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RequestError(f"processor {reference!r} cannot be imported: {error}") from error
    if isinstance(found, type):
        fits = issubclass(found, Processor) or is_estimator(found)
    else:
        fits = isinstance(found, types.FunctionType | np.ufunc)
    if not fits:
        raise RequestError(f"{reference!r} is no Processor, scikit-learn estimator or function")
    return found
