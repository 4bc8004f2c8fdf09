"""`backlight report`: a run as one page to print or send."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="Page to write.",
)
@click.option("--analysis", metavar="NAME", help="Which analysis; default: the first.")
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Show so many of the most suspicious classes in detail.",
)
@click.option(
    "--samples", type=click.IntRange(min=0), default=6, show_default=True, help="Shown of each cluster."
)
@click.option("--cmap", default="coldnhot", show_default=True, metavar="NAME", help="Colour map of heatmaps.")
@click.option(
    "--plots",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write the plots of the classes shown (map, spectrum, dendrogram) as SVG files.",
)
def command(
    run: Path, out: Path, analysis: str | None, classes: int, samples: int, cmap: str, plots: Path | None
) -> None:
    """Write ranked classes, cluster cards and settings of RUN into one self-contained page."""
    from backlight.app.report.page import figures, page
    from backlight.core.project import open_project
    from backlight.core.store import atomic_text

    with open_project(run) as project:
        atomic_text(out, page(project, analysis, classes=classes, samples=samples, cmap=cmap))
        for name, svg in figures(project, analysis, classes=classes).items() if plots else ():
            plots.mkdir(parents=True, exist_ok=True)
            atomic_text(plots / name, svg)
    click.echo(f"Report: {out} ({out.stat().st_size / 2**20:.1f} MiB)")
