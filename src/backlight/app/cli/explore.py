"""`backlight explore`: look at runs in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but a loopback address asks visitors for the token in the printed link.",
)
@click.option(
    "--port", default=8050, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one."
)
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Further folder that the projects may read from, besides their own.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--model", help="Explain single pictures on the page with this model, named as in run.toml.")
@click.option("--weights", help="Of the model: a .safetensors file or a checkpoint of tensors.")
@click.option("--classes", type=click.IntRange(1), help="Number of the model's outputs.")
@click.option("--device", help="Where the model runs, e.g. cuda.")
@click.option("--live", is_flag=True, help="The same with the model that the run's run.toml names.")
def command(
    runs: tuple[Path, ...],
    host: str,
    port: int,
    roots: tuple[Path, ...],
    no_browser: bool,
    live: bool,
    **model: Any,
) -> None:
    """Explore the findings of one or more RUN directories or ViRelAy project files.

    --model and --live run the code that the model's name leads to.
    """
    given = {name: value for name, value in model.items() if value is not None}
    if given and not (live or "model" in given):
        raise click.UsageError(f"--{next(iter(given))} needs --model or --live")
    from backlight.app.web import serve

    serve(
        list(runs),
        host=host,
        port=port,
        roots=roots,
        open_browser=not no_browser,
        live=given if live or given else None,
        announce=lambda url: click.echo(f"Explorer at {url}  (Ctrl-C to stop)"),
    )
