"""Steps of a pipeline as plain data, with processors by their public names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from backlight.core.errors import RequestError, unknown
from backlight.core.pipelines.digest import qualified_name
from backlight.core.processor import Processor, check_fields
from backlight.core.registry import registry

if TYPE_CHECKING:
    from backlight.core.pipeline import Step

KEYS = ("name", "processor", "parameters", "inputs")


def step_to_dict(step: Step) -> dict[str, Any]:
    """Return plain data that `read_step` reads back; RequestError for a parameter that is none."""
    parameters = step.processor.parameters()
    for name, value in parameters.items():
        if not isinstance(value, bool | int | float | str | tuple | None):
            raise RequestError(
                f"step {step.name!r} can't be written down: {name} is a {type(value).__name__}"
            )
    document: dict[str, Any] = {"name": step.name, "processor": _public_name(type(step.processor))}
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
    given = dict(document.get("parameters", {}))
    parameters = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    check_fields(f"processor {reference!r}", factory, parameters)
    return str(document.get("name", reference)), factory(**parameters), dict(document.get("inputs", {}))


def _public_name(kind: type[Processor]) -> str:
    """Return the name a processor is installed under, or `module:class` for one that isn't a plugin."""
    plugins = registry()
    for entry in plugins.entries("processor"):
        if entry.module == kind.__module__:
            plugins.load(entry)
    return plugins.name_of("processor", kind) or qualified_name(kind)


def _imported(reference: str) -> Callable[..., Processor]:
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise RequestError(f"processor {reference!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Processor)):
        raise RequestError(f"{reference!r} is no Processor")
    return found
