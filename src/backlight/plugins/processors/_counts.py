"""Counts that parameters of a step give."""

from __future__ import annotations

from backlight.core.errors import RequestError


def positive(step: str, **counts: int) -> None:
    """Raise RequestError naming the first count below 1. step: its public name."""
    for name, count in counts.items():
        if count < 1:
            raise RequestError(f"{step}: {name} is {count}, expected at least 1")
