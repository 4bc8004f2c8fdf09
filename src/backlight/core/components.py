"""What a Dash layout is made of, and what a callback depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash.dependencies import DashDependency


def components_in(body: Any) -> Iterator[Any]:
    """Yield a layout, or the layouts in a list, and every component inside."""
    yield body
    if isinstance(body, list | tuple):
        for item in body:
            yield from components_in(item)
    elif hasattr(body, "_traverse"):
        yield from body._traverse()


def dependencies_in(value: Any) -> Iterator[DashDependency]:
    """Yield the inputs, outputs and states in what a callback is registered with."""
    if isinstance(value, DashDependency):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from dependencies_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from dependencies_in(item)
