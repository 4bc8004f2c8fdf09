"""Objects named on a command line: `package.module:name` or `file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from backlight.core.errors import BacklightError, RequestError, unknown


def is_factory(spec: str) -> bool:
    """Say whether `spec` has the form `module:name` or `file.py:name`."""
    module, _, name = spec.rpartition(":")
    return bool(module) and name.isidentifier()


def load_factory(spec: str, what: str) -> Any:
    """Import what `spec` names; `what` is how errors call it. Runs the code of that module."""
    source, _, name = spec.rpartition(":")
    module = _from_file(Path(source), what) if source.endswith(".py") else _from_package(source, what)
    try:
        return getattr(module, name)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise RequestError(f"{source} has {unknown(what, name, names)}") from None


def build(factory: Callable[..., Any], spec: str, what: str, **arguments: Any) -> Any:
    """Call a factory; RequestError naming it where its code raises anything."""
    try:
        return factory(**arguments)
    except BacklightError:
        raise
    except Exception as error:
        raise RequestError(f"{what} {spec!r} cannot be built: {type(error).__name__}: {error}") from error


def _from_package(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RequestError(f"{what} module {name!r} cannot be imported: {error}") from error


def _from_file(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        raise RequestError(f"{what} file {path} does not exist")
    name = f"backlight_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{what} file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RequestError(f"{what} file {path} cannot be run: {type(error).__name__}: {error}") from error
    return module
