"""`backlight attribute`: explain every sample of a dataset into a run directory."""

from __future__ import annotations

from pathlib import Path

import click

_PER_CHANNEL = "one number, or three separated by commas"


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not {_PER_CHANNEL}") from None
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"{value!r} is not {_PER_CHANNEL}")
    return numbers * 3 if len(numbers) == 1 else numbers


def _size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) not in (1, 2) or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise click.BadParameter(f"{value!r} is not a size such as 224 or 224x224")
    return int(parts[0]), int(parts[-1])


@click.command()
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="A torchvision model, timm/NAME, package.module:factory or file.py:factory.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A .safetensors file or a checkpoint of tensors; random weights without.",
)
@click.option(
    "--classes", type=click.IntRange(min=1), help="Number of the model's outputs, passed as num_classes."
)
@click.option(
    "--data",
    required=True,
    metavar="WHERE",
    help="A folder of class folders, an HDF5 file, a torchvision dataset's name or module:factory.",
)
@click.option(
    "--download", is_flag=True, help="Allow a torchvision dataset to be downloaded into ./datasets."
)
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="The run directory.")
@click.option(
    "--composite",
    default="epsilon-plus",
    show_default=True,
    metavar="NAME",
    help="A preset, a rule or a composite file; 'none' gives the plain gradient.",
)
@click.option(
    "--method", default="gradient", show_default=True, metavar="NAME", help="An attribution method."
)
@click.option(
    "--target",
    type=click.Choice(["true", "predicted"]),
    default="true",
    show_default=True,
    help="Which class is explained.",
)
@click.option(
    "--size", callback=_size, help="Height and width of the model's input; pictures are resized and cropped."
)
@click.option(
    "--mean", default="0", callback=_numbers, help=f"Subtracted from pictures in [0, 1]; {_PER_CHANNEL}."
)
@click.option("--std", default="1", callback=_numbers, help=f"Divides pictures after that; {_PER_CHANNEL}.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Samples explained at a time.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Samples a file; a killed run loses at most one.",
)
@click.option(
    "--failure-limit",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of unreadable pictures to tolerate.",
)
@click.option("--device", default="cpu", show_default=True, help="Where the model runs, e.g. cuda.")
@click.option("--name", help="Name of the project; default: the run directory's.")
def command(
    model: str,
    weights: Path | None,
    classes: int | None,
    data: str,
    download: bool,
    out: Path,
    composite: str,
    method: str,
    target: str,
    size: tuple[int, int] | None,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    batch_size: int,
    shard_size: int,
    failure_limit: float,
    device: str,
    name: str | None,
) -> None:
    """Explain every sample of a dataset; the same command again continues a run that was stopped."""
    from backlight.app.cli.progress import progress_bar
    from backlight.core.composite import composite as build
    from backlight.core.explainer import Explainer
    from backlight.core.run import Settings, attribute_dataset
    from backlight.core.sources.data import open_source
    from backlight.core.sources.models import load_model
    from backlight.core.sources.preprocessing import Preprocessing

    preprocessing = Preprocessing(size, mean, std)
    built = None if composite == "none" else build(composite, **_bounds(composite, preprocessing))
    source = open_source(data, download=Path("datasets") if download else None)
    network = load_model(model, weights, **({"num_classes": classes} if classes else {}))
    explainer = Explainer(network.to(device), composite=built, method=method)
    settings = Settings(preprocessing, target, batch_size, shard_size, failure_limit)  # type: ignore[arg-type]
    with progress_bar("Attributing") as report:
        done = attribute_dataset(
            explainer, source, out, settings, name=name, described={"model": model}, progress=report
        )
    print_finished(done)


def _bounds(composite: str, preprocessing: object) -> dict[str, object]:
    """Return the input's bounds for a preset that takes them, so that nobody has to work them out."""
    import inspect

    from backlight.core.registry import registry
    from backlight.core.sources.preprocessing import Preprocessing

    if composite not in registry().names("composite") or not isinstance(preprocessing, Preprocessing):
        return {}
    accepted = inspect.signature(registry().spec("composite", composite).factory).parameters
    low, high = preprocessing.bounds
    return {"low": low, "high": high} if {"low", "high"} <= accepted.keys() else {}


def print_finished(done: object) -> None:
    """Say what a finished run holds, what could not be read, and what to do next."""
    import math

    from backlight.core.run import Finished

    assert isinstance(done, Finished)
    click.echo(f"{done.attributed} samples attributed in {done.root}")
    if not math.isnan(done.conservation_error):
        click.echo(
            f"relevance that biases and stabilisers kept: {done.conservation_error:.1%} (median over samples)"
        )
    for index, reason in list(done.failures.items())[:5]:
        click.echo(f"left out sample {index}: {reason}", err=True)
    if len(done.failures) > 5:
        click.echo(f"left out {len(done.failures) - 5} more; all are named in the shards", err=True)
