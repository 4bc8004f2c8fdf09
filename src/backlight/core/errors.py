"""Errors a user can act on: one sentence that names what, where and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BacklightError(Exception):
    """The work failed; the command line prints the sentence and exits with `exit_code`."""

    exit_code = 1


class RequestError(BacklightError):
    """The request itself was wrong: a name, file, option or shape that cannot be used."""

    exit_code = 2


class PluginError(RequestError):
    """A plugin could not be found, imported or validated."""


class EngineError(RequestError):
    """A model or input that cannot be explained as asked."""


class FormatError(RequestError):
    """A file that does not hold what its format promises."""


def first_line(error: BaseException) -> str:
    """Return what an error of somebody else's code says first, or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a mistyped `name`, with close matches or, failing these, all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"unknown {what} {name!r}; did you mean {' or '.join(map(repr, close))}?"
    return f"unknown {what} {name!r}; known: {', '.join(names) or 'none'}"
