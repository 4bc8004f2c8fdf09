"""What `pytest --pyargs backlight.testing --plugin-dist NAME` runs."""

from __future__ import annotations

from backlight.testing.suite import Case


def test_conformance(case: Case) -> None:
    """The plugin passes the check."""
    case()
