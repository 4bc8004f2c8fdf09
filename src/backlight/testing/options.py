"""Options of the conformance suite: a pytest plugin that every run loads, so it imports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that say which plugins to test."""
    group = parser.getgroup("backlight", "conformance suite of Backlight")
    group.addoption("--plugin-dist", metavar="NAME", help="Test every plugin of this installed distribution.")
    group.addoption(
        "--plugin-specimens",
        metavar="MODULE:NAME",
        help="Where the mapping (kind, name) -> backlight.testing.Specimen is, if there is one.",
    )
