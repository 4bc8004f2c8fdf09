"""`backlight recolour`: another colour map for a heatmap that was saved."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("heatmap", type=click.Path(path_type=Path), metavar="HEATMAP.png")
@click.option("--cmap", required=True, metavar="MAP", help="Colours: a name, or some such as 00f,80:fff,f00.")
@click.option(
    "--level", type=float, default=1.0, show_default=True, help="Above 1 weak relevance is seen better."
)
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Picture to write.")
def command(heatmap: Path, cmap: str, level: float, out: Path) -> None:
    """Colour a saved heatmap anew, without the model.

    HEATMAP.png is what `backlight heatmap` writes of one explanation: its palette holds the colours, its
    pixels the relevance to 1/256 of the strongest.
    """
    from PIL import Image

    from backlight.app.heatmap.output import FORMATS, check_output, save_picture
    from backlight.core.errors import FormatError
    from backlight.core.pictures.heatmap import checked_look, recolour

    checked_look(cmap, "image", level)
    check_output(out, tuple(FORMATS))
    if not heatmap.exists():
        raise FormatError(f"{heatmap} does not exist; expected a heatmap")
    try:
        with Image.open(heatmap) as saved:
            saved.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"{heatmap} is not a readable picture ({error})") from error
    save_picture(recolour(saved, cmap, level), out)
    click.echo(f"Heatmap: {out}")
