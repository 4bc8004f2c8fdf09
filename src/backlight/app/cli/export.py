"""`backlight export`: a run's results as arrays or as a table."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path), help="A file ending in .npz or .parquet."
)
@click.option(
    "--relevance/--no-relevance", default=True, help="With the relevance of every sample, or without."
)
def command(run: Path, out: Path, relevance: bool) -> None:
    """Write the samples of RUN with labels, predictions, relevance and clusters to one file."""
    from backlight.core.interchange.exporting import export
    from backlight.core.project import open_project

    with open_project(run) as project:
        count = export(project, out, relevance=relevance)
    click.echo(f"{count} samples written to {out}")
