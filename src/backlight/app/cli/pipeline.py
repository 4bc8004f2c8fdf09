"""`backlight pipeline show`: the steps of a pipeline, what feeds them, and their parameters."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Look at pipelines."""


@command.command()
@click.argument("name")
@click.option("--set", "settings", multiple=True, metavar="STEP.PARAM=VALUE", help="As for analyze.")
@click.option("--toml", is_flag=True, help="As a file that --pipeline takes.")
def show(name: str, settings: tuple[str, ...], toml: bool) -> None:
    """Print the steps of the preset or file NAME in order."""
    from backlight.app.cli.analyze import configured
    from backlight.core.pipeline_file import drawn, to_toml

    steps = configured(name, settings)
    click.echo(to_toml(steps) if toml else drawn(steps), nl=False)
