"""Progress for every verb: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show progress on standard error; yields a callable taking (done, of how many, name of what was done)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:

        def line(done: int, total: int, name: str = "") -> None:
            if done:
                click.echo(f"{title} {done}/{total}{': ' if name else ''}{name}", err=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(title, total=None)

        def update(done: int, total: int, name: str = "") -> None:
            progress.update(bar, completed=done, total=total, description=f"{title} {name}".strip())

        yield update
