"""How a check fails: with a sentence that names the plugin, what is wrong with it and what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


@contextmanager
def failing_as(message: str) -> Iterator[None]:
    """Turn any exception inside into an AssertionError that begins with the message."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{message} ({type(error).__name__}: {error})") from error
