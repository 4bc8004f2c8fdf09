"""Makes the tests of `pytest --pyargs backlight.testing`; its options are in options.py."""

from __future__ import annotations

import importlib

import pytest

from backlight.core.errors import BacklightError
from backlight.testing.suite import Case, Specimens, conformance


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every check."""
    if "case" in metafunc.fixturenames:
        found = _cases(metafunc.config)
        metafunc.parametrize("case", found, ids=[str(case) for case in found])


def _cases(config: pytest.Config) -> list[Case]:
    dist = config.getoption("--plugin-dist")
    if dist is None:
        raise pytest.UsageError("say which distribution to test: --plugin-dist NAME")
    try:
        return conformance(dist, _specimens(config.getoption("--plugin-specimens")))
    except BacklightError as error:
        raise pytest.UsageError(str(error)) from error


def _specimens(reference: str | None) -> Specimens | None:
    if reference is None:
        return None
    module, _, name = reference.partition(":")
    try:
        found: Specimens = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"--plugin-specimens {reference} cannot be imported: {error}") from error
    return found
