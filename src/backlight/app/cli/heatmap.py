"""`backlight heatmap`: pictures in, one picture of heatmaps out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backlight.app.cli.options import config_options

if TYPE_CHECKING:
    from backlight.app.heatmap.explaining import Explanations
    from backlight.core.run_config import Config
    from backlight.core.sources.labels import Labels


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE…")
@config_options("model", "weights", "classes")
@click.option(
    "--labels", metavar="FILE", help="Names of the classes: one a line, or JSON; 'imagenet' is known."
)
@click.option(
    "--composite",
    "composites",
    multiple=True,
    metavar="NAME",
    help="A preset, a rule or a composite file; 'none' gives the plain gradient; repeatable."
    "  [default: epsilon-plus]",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME[:COMPOSITE]",
    help="An attribution method, with every composite or with its own; repeatable.  [default: gradient]",
)
@config_options("parameters", "canonizers")
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("predicted",),
    metavar="CLASS",
    help="What is explained: predicted, the number or name of a class, top-3 or the like, all; repeatable."
    "  [default: predicted]",
)
@config_options("size", "resize", "interpolation", "mean", "std")
@click.option(
    "--layout",
    type=click.Choice(["beside", "overlay", "heatmap"]),
    help="Heatmaps beside the picture, over it, or alone; default: one alone, several beside.",
)
@click.option(
    "--cmap",
    default="coldnhot",
    show_default=True,
    metavar="MAP",
    help="Colours: a name, or some such as 00f,80:fff,f00.",
)
@click.option(
    "--level", type=float, default=1.0, show_default=True, help="Above 1 weak relevance is seen better."
)
@click.option(
    "--scaling",
    default="image",
    show_default=True,
    metavar="NAME",
    help="Strength of colour: image, shared by all maps, quantile, gamma, positive or negative.",
)
@click.option(
    "--side",
    type=click.IntRange(min=16),
    default=224,
    show_default=True,
    help="Of each picture of a grid, pixels.",
)
@config_options("seed", "device", "download")
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("heatmap.png"),
    show_default=True,
    help="A .png, .jpg or .webp to look at; .npy or .npz holds the relevance itself.",
)
def command(
    images: tuple[Path, ...],
    labels: str | None,
    composites: tuple[str, ...],
    methods: tuple[str, ...],
    targets: tuple[str, ...],
    layout: str | None,
    cmap: str,
    level: float,
    scaling: str,
    side: int,
    out: Path,
    **options: Any,
) -> None:
    """Show what a model looks at in each IMAGE: one heatmap, or a grid of several.

    Several images, composites, methods or targets make a grid: a row for each image, a column for each way
    of explaining it. One heatmap alone is written with its palette, which `backlight recolour` changes.
    """
    from backlight.app.cli.progress import progress_bar
    from backlight.app.heatmap.explaining import explain_pictures, read_pictures
    from backlight.app.heatmap.output import ARRAYS, FORMATS, Look, check_output, write
    from backlight.app.heatmap.ways import ways
    from backlight.core.pictures.heatmap import checked_look

    checked_look(cmap, scaling, level)
    check_output(out, (*FORMATS, *ARRAYS))
    config = _config(options)
    pictures = read_pictures(images)
    chosen = ways(methods or ("gradient",), composites or ("epsilon-plus",), config.parameters or {})
    named = _labels(labels, config)
    model, preprocessing = _model(config)
    with progress_bar("Explaining") as report:
        found = explain_pictures(
            model,
            pictures,
            chosen,
            canonizers=config.canonizers,
            targets=targets,
            labels=named,
            preprocessing=preprocessing,
            report=report,
        )
    write(found, named, targets, Look(cmap, level, scaling, layout, side), out)
    _print(found, named, out)


def _config(options: dict[str, Any]) -> Config:
    """Return the options that are keys of run.toml as a config, whose data and folder nobody asks for."""
    from backlight.core.run_config import build_config

    if not options.get("model"):
        raise click.UsageError("which model? give --model, a torchvision name or file.py:factory")
    return build_config(
        {key: value for key, value in options.items() if value is not None}, {"data": "-", "out": "-"}
    )


def _labels(given: str | None, config: Config) -> Labels:
    """Return the names given, or those of named weights."""
    from backlight.core.sources.labels import Labels, imagenet, read_labels
    from backlight.core.sources.pretrained import pretrained

    if given == "imagenet":
        return Labels(imagenet())
    if given is not None:
        return Labels(read_labels(Path(given)))
    weights = pretrained(config.model, config.weights, config.download) if config.weights else None
    return Labels(weights.classes if weights and config.classes is None else ())


def _model(config: Config) -> Any:
    """Return the model and how pictures are prepared for it, and say what was assumed of either."""
    from backlight.core.run.preparing import build_model, preprocessing
    from backlight.core.sources.factory import is_factory
    from backlight.core.sources.preprocessing import Preprocessing

    if config.weights is None and not is_factory(config.model):
        click.echo(f"note: {config.model} without --weights is an untrained network", err=True)
    prepared = preprocessing(config)
    if prepared == Preprocessing():
        click.echo(
            "note: pictures keep their size and are scaled to [0, 1]; see --size, --mean, --std", err=True
        )
    return build_model(config, config.weights), prepared


def _print(found: Explanations, labels: Labels, out: Path) -> None:
    """Say what the model takes each picture for, and where the result is."""
    for picture in found.pictures:
        click.echo(f"{picture.name}: {picture.said(labels, picture.predicted)}")
    click.echo(f"Heatmaps: {out}")
