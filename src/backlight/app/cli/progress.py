"""Progress for every verb: a bar on a terminal, plain lines elsewhere, JSON or nothing on request."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[int, int, str], None]


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool = False, as_json: bool = False) -> Iterator[Report]:
    """Show progress; yields a callable taking (done, of how many, name of what was done).

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
        TimeRemainingColumn(speed_estimate_period=120),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(title, total=None, rate="")
        start: list[tuple[float, int]] = []

        def update(done: int, total: int, name: str = "") -> None:
            start[:] = start or [(time.monotonic(), done)]
            seconds, made = time.monotonic() - start[0][0], done - start[0][1]
            rate = f"{made / seconds:.1f}/s" if made and seconds else ""
            named = {"description": f"{title} {name}".strip()} if name else {}
            progress.update(bar, completed=done, total=total, rate=rate, **named)  # type: ignore[arg-type]

        yield update


def _nothing(done: int, total: int, name: str = "") -> None:
    """Report nothing."""


def _lines(title: str, every: float = 30.0) -> Report:
    """Return a reporter that prints a line for everything named, and one now and then in between."""
    said = [time.monotonic()]

    def line(done: int, total: int, name: str = "") -> None:
        if done and (name or done == total or time.monotonic() - said[0] >= every):
            said[0] = time.monotonic()
            click.echo(f"{title} {done}/{total}{': ' if name else ''}{name}", err=True)

    return line


def _json(title: str) -> Report:
    start = time.monotonic()

    def line(done: int, total: int, name: str = "") -> None:
        seconds = round(time.monotonic() - start, 3)
        facts = {"event": "progress", "stage": title, "done": done, "total": total, "seconds": seconds}
        click.echo(json.dumps({**facts, **({"name": name} if name else {})}))

    return line
