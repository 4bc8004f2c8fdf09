"""Backlight: see what a vision model really looks at, across a whole dataset.

Importing this package loads neither torch nor scikit-learn nor dash; each name is resolved on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backlight.app.web import explore
    from backlight.core.composite import composite
    from backlight.core.explainer import Attribution, Explainer, attribute
    from backlight.core.pictures.grid import heatmap_grid
    from backlight.core.pictures.heatmap import heatmap
    from backlight.core.pipeline import pipeline
    from backlight.core.project import open_project
    from backlight.core.registry import plugins
    from backlight.core.rule import rule

__all__ = [
    "Attribution",
    "Explainer",
    "attribute",
    "composite",
    "explore",
    "heatmap",
    "heatmap_grid",
    "open_project",
    "pipeline",
    "plugins",
    "rule",
]

_HOMES = {
    "Attribution": "backlight.core.explainer",
    "Explainer": "backlight.core.explainer",
    "attribute": "backlight.core.explainer",
    "composite": "backlight.core.composite",
    "explore": "backlight.app.web",
    "heatmap": "backlight.core.pictures.heatmap",
    "heatmap_grid": "backlight.core.pictures.grid",
    "open_project": "backlight.core.project",
    "pipeline": "backlight.core.pipeline",
    "plugins": "backlight.core.registry",
    "rule": "backlight.core.rule",
}


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, once; later look-ups find the name itself."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("backlight")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'backlight' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
