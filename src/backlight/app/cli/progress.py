"""Progress for every verb: a bar on a terminal, plain lines elsewhere, JSON or nothing on request."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


class Report(Protocol):
    """Shows how far work is; failed: how many of what was done failed, None where nobody counts."""

    def __call__(self, done: int, total: int, name: str = "", failed: int | None = None) -> None:
        """Take note of how much is done, of how many, and of what was just done."""


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool = False, as_json: bool = False) -> Iterator[Report]:
    """Show progress; yields what is to be told of it.

    Bar and lines go to standard error. quiet: show nothing. as_json: an object a line on standard output.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet or as_json or not console.is_terminal:
        yield _json(title) if as_json else _nothing if quiet else _lines(title)
        return
    rate = TextColumn("{task.fields[rate]}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        rate,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=120) as progress:
        bar = progress.add_task(title, total=None, rate="")
        pace, most = Pace(), 0

        def update(done: int, total: int, name: str = "", failed: int | None = None) -> None:
            nonlocal most
            most = max(most, done)  # a shard is told when its files are there; the model is further by then
            pace.tell(most)
            named = {"description": f"{title} {name}{_failures(failed)}".strip()} if name else {}
            progress.update(bar, completed=most, total=total, rate=pace.rate, **named)  # type: ignore[arg-type]

        yield update


class Pace:
    """How fast work goes: counted from the first report, as what was done before it took no time."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None
        self._each, self._done = 0.0, 0

    def tell(self, done: int) -> None:
        """Take note of how much is done now."""
        now = time.monotonic()
        self._start = self._start or (now, done)
        made = done - self._start[1]
        self._each = (now - self._start[0]) / made if made else 0.0
        self._done = done

    @property
    def rate(self) -> str:
        """The rate as a person reads it, or nothing while it is not known."""
        return f"{1 / self._each:.1f}/s" if self._each else ""

    def left(self, total: int) -> float:
        """Return the seconds that the rest of `total` will take; 0 while that is not known."""
        return self._each * (total - self._done)


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _failures(failed: int | None) -> str:
    return f" ({failed} failed)" if failed else ""


def _nothing(done: int, total: int, name: str = "", failed: int | None = None) -> None:
    """Report nothing."""


def _lines(title: str, every: float = 30.0) -> Report:
    """Return a reporter that prints a line for everything named, and one now and then in between."""
    said, pace = time.monotonic(), Pace()
    nameless = True

    def line(done: int, total: int, name: str = "", failed: int | None = None) -> None:
        nonlocal said, nameless
        pace.tell(done)
        nameless = nameless and not name
        if done and (name or (nameless and done == total) or time.monotonic() - said >= every):
            said = time.monotonic()
            left = pace.left(total)
            told = [pace.rate, f"about {duration(left)} left"] if left else []
            named = f": {name}{_failures(failed)}" if name else ""
            click.echo(", ".join([f"{title} {done}/{total}{named}", *told]), err=True)

    return line


def _json(title: str) -> Report:
    start = time.monotonic()

    def line(done: int, total: int, name: str = "", failed: int | None = None) -> None:
        seconds = round(time.monotonic() - start, 3)
        facts = {"event": "progress", "stage": title, "done": done, "total": total, "seconds": seconds}
        facts |= {"name": name} if name else {}
        facts |= {} if failed is None else {"failed": failed}
        click.echo(json.dumps(facts))

    return line
