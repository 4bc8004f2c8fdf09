"""Ways of explaining: a method and a composite, with the parameters that the method takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from backlight.core.errors import RequestError
from backlight.core.registry import registry


@final
@dataclass(frozen=True)
class Way:
    """One way of explaining. parameters: of the method."""

    method: str
    composite: str
    parameters: Mapping[str, Any]

    def label(self, composite_used: bool) -> str:
        """Return how a column is called."""
        if not composite_used or self.composite == "none":
            return self.method
        return self.composite if self.method == "gradient" else f"{self.method}, {self.composite}"


def ways(methods: Sequence[str], composites: Sequence[str], settings: Mapping[str, Any]) -> list[Way]:
    """Return every method with every composite; METHOD:COMPOSITE is that method with that composite alone.

    settings: parameters; each goes to the methods that have it. RequestError for one that none has.
    """
    pairs: dict[tuple[str, str], None] = {}
    for text in methods:
        method, colon, own = text.partition(":")
        pairs |= {(method, composite): None for composite in ([own] if colon else composites)}
    accepted = {
        method: inspect.signature(registry().spec("processor", method).factory).parameters
        for method, _ in pairs
    }
    for name in settings:
        if not any(name in parameters for parameters in accepted.values()):
            raise RequestError(f"no method here has a parameter {name!r}: {', '.join(accepted)}")
    return [
        Way(method, composite, {name: x for name, x in settings.items() if name in accepted[method]})
        for method, composite in pairs
    ]
