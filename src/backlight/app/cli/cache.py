"""`backlight cache`: what a run's cached results take, and how to be rid of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backlight.core.pipelines.cache import Cache


@click.group()
def command() -> None:
    """Look at the cached results of a run's analyses, or remove them."""


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
def info(run: Path) -> None:
    """Say how many results are cached in RUN and how much they take."""
    cache = _cache(run)
    entries, size = cache.size()
    click.echo(f"{entries} results, {size / 2**20:.1f} MiB in {cache.root}")


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--keep", type=click.FloatRange(min=0), metavar="MIB", help="Keep the latest used so many MiB.")
def clear(run: Path, keep: float | None) -> None:
    """Remove the cached results of RUN, to be computed again."""
    cache = _cache(run)
    removed = cache.clear() if keep is None else cache.trim(int(keep * 2**20))
    click.echo(f"{removed} results removed from {cache.root}")


def _cache(run: Path) -> Cache:
    from backlight.core.analysis_tasks import CACHE_FOLDER
    from backlight.core.errors import RequestError
    from backlight.core.pipelines.cache import Cache
    from backlight.core.project import PROJECT_FILE

    root = run if run.is_dir() else run.parent
    if not (root / PROJECT_FILE).is_file() and not (root / CACHE_FOLDER).is_dir():
        raise RequestError(f"{run} is no run directory: it has neither {PROJECT_FILE} nor {CACHE_FOLDER}")
    return Cache(root / CACHE_FOLDER)
