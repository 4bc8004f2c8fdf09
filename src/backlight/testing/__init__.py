"""Checks that plugin authors run on their own package; each raises AssertionError that says what to mend.

In a test, parametrise by `conformance("my-distribution")`; from the command line, run
`pytest --pyargs backlight.testing --plugin-dist my-distribution`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlight.testing.entries import check_registry_entry
    from backlight.testing.subject import Specimen
    from backlight.testing.suite import Case, conformance

__all__ = ["Case", "Specimen", "check_registry_entry", "conformance"]

_HOMES = {
    "Case": "suite",
    "Specimen": "subject",
    "check_registry_entry": "entries",
    "conformance": "suite",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: pytest loads this package in every run, for its options."""
    if name not in _HOMES:
        raise AttributeError(f"module 'backlight.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"backlight.testing.{_HOMES[name]}"), name)
