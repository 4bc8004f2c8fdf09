"""How a check fails: with a sentence that names the plugin, what is wrong with it and what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ConformanceError(AssertionError):
    """A check found something to mend; told apart from assertions in the plugin itself."""


def require(condition: bool, message: str) -> None:
    """Raise ConformanceError with the message unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


@contextmanager
def failing_as(message: str) -> Iterator[None]:
    """Turn any exception inside into a ConformanceError that begins with the message."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        raise ConformanceError(f"{message} ({type(error).__name__}: {error})") from error
