"""Failures on the command line: one sentence on stderr and an exit code; the traceback only under --debug."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import click

from backlight.core.errors import BacklightError

INTERRUPTED = 130
"""What a shell reports for a command ended by Ctrl-C (128 + SIGINT)."""


class Failure(click.ClickException):
    """A failure that has been put into words; click prints it and exits with `exit_code`."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines() if line.strip()))
        self.exit_code = exit_code  # type: ignore[misc]  # click types it as one code for each class


class Interrupted(Failure):
    """Ctrl-C, which is no error."""

    def show(self, file: object = None) -> None:
        """Print the word without `Error:`."""
        click.echo(self.message, err=True)


@contextmanager
def explained(*, debug: bool) -> Iterator[None]:
    """Turn any failure inside into a `Failure`; print its traceback first if `debug`."""
    try:
        yield
    except (click.exceptions.Exit, Failure):
        raise
    except BaseException as error:
        failure = _failure(error)
        if failure is None:
            raise
        if debug and not isinstance(error, click.UsageError):
            traceback.print_exception(error)
        raise failure from error


def _failure(error: BaseException) -> Failure | None:
    """Put `error` into words; None leaves it to click or the interpreter."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Interrupted("Interrupted.", INTERRUPTED)
    if isinstance(error, BacklightError):
        return Failure(str(error), error.exit_code)
    if isinstance(error, click.UsageError):
        # Without arguments click shows the help in place of an error.
        return (
            None if type(error).__name__ == "NoArgsIsHelpError" else Failure(_usage(error), error.exit_code)
        )
    broken_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
    if isinstance(error, click.ClickException) or broken_pipe or not isinstance(error, Exception):
        return None
    if isinstance(error, OSError) and error.filename is not None:
        path = error.filename if error.filename2 is None else error.filename2  # of a rename, where it leads
        return Failure(f"cannot read or write {path}: {error.strerror}", 1)
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(f"unexpected {message} (re-run with --debug for the traceback)", 1)


def _usage(error: click.UsageError) -> str:
    """Return click's sentence for a wrong command line, with close matches and where help is found."""
    message = error.format_message()
    if isinstance(error, click.BadParameter) and error.param is not None:
        message += _close_choice(error)
    return f"{message} (see `{error.ctx.command_path} --help`)" if error.ctx is not None else message


def _close_choice(error: click.BadParameter) -> str:
    choices = getattr(getattr(error.param, "type", None), "choices", ())
    mistyped = re.match(r"'(.*?)' is not", error.message)
    close = get_close_matches(mistyped[1], map(str, choices), n=2, cutoff=0.5) if mistyped else []
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
