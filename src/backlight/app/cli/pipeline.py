"""`backlight pipeline show`: the steps of a pipeline, what feeds them, and their parameters."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Look at pipelines."""


@command.command()
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="STEP.PARAM=VALUE", help="As for analyze.")
@click.option("--toml", is_flag=True, help="As a file that --pipeline takes.")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE.svg",
    help="Write a picture of the graph instead.",
)
def show(name: str, settings: tuple[str, ...], toml: bool, out: Path | None) -> None:
    """Print the steps of the preset or file NAME in order."""
    from backlight.app.cli.analyze import configured
    from backlight.core.errors import RequestError
    from backlight.core.pipelines.pipeline_file import drawn, to_toml
    from backlight.core.pipelines.pipeline_picture import picture
    from backlight.core.store import atomic_text

    steps = configured(name, settings)
    if out:
        if out.suffix != ".svg" or toml:
            raise RequestError(f"--out {out} takes a picture, FILE.svg, and goes without --toml")
        atomic_text(out, picture(steps))
        click.echo(f"Picture: {out}")
        return
    click.echo(to_toml(steps) if toml else drawn(steps), nl=False)
