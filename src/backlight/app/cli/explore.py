"""`backlight explore`: look at runs in the browser."""

from __future__ import annotations

from pathlib import Path

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
def command(runs: tuple[Path, ...], host: str, port: int, roots: tuple[Path, ...], no_browser: bool) -> None:
    """Explore the findings of one or more RUN directories or ViRelAy project files."""
    from backlight.app.web import serve

    serve(
        list(runs),
        host=host,
        port=port,
        roots=roots,
        open_browser=not no_browser,
        announce=lambda url: click.echo(f"Explorer at {url}  (Ctrl-C to stop)"),
    )
