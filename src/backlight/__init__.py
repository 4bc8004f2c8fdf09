"""Backlight: see what a vision model really looks at, across a whole dataset.

Importing this package loads neither torch nor scikit-learn nor dash; each name below is resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "Attribution": "backlight.core.engine",
    "Explainer": "backlight.core.engine",
    "attribute": "backlight.core.engine",
    "composite": "backlight.core.composite",
    "explore": "backlight.app.web",
    "open_project": "backlight.core.project",
    "pipeline": "backlight.core.pipeline",
    "plugins": "backlight.core.registry",
    "rule": "backlight.core.rule",
}

__all__ = ["Attribution", "Explainer", "attribute", "composite", "explore", "open_project", "pipeline", "plugins", "rule"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("backlight")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'backlight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
