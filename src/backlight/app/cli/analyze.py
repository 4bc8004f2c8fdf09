"""`backlight analyze`: cluster a run's explanations class by class and rank the classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backlight.core.analysis import Analysed
    from backlight.core.pipeline import Pipeline


_NAMED = 5


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--pipeline",
    "preset",
    default="spray",
    show_default=True,
    metavar="NAME",
    help="Preset to run, or a TOML file.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="STEP.PARAM=VALUE",
    help="Change a parameter of a step (knn.k=10) or of the preset (neighbours=10).",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="STEP.PARAM=A,B,…",
    help="Run a step, and what depends on it, once for every value (knn.k=8,16,32).",
)
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Analyse only this class; repeatable."
)
@click.option("--space", metavar="LAYER", help="Analyse the relevance of a layer that the run kept.")
@click.option(
    "--by",
    type=click.Choice(["label", "prediction"]),
    default="label",
    show_default=True,
    help="What makes the classes.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: as many as pay off.")
@click.option("--cluster", metavar="ADDRESS", help="A dask scheduler's, or local:N; as for attribute.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of everything random."
)
@click.option("--no-cache", is_flag=True, help="Neither read nor keep intermediate results.")
def command(
    run: Path,
    preset: str,
    settings: tuple[str, ...],
    sweeps: tuple[str, ...],
    classes: tuple[str, ...],
    space: str | None,
    by: str,
    workers: int | None,
    cluster: str | None,
    seed: int,
    no_cache: bool,
) -> None:
    """Cluster the explanations in RUN class by class and rank the classes by suspicion."""
    from backlight.app.cli.interrupt import sigterm_as_interrupt
    from backlight.app.cli.progress import progress_bar
    from backlight.core.analysis import analyze

    steps = swept(configured(preset, settings), sweeps)
    kept = "" if no_cache else "What was computed is in the cache: the same command continues."
    with sigterm_as_interrupt(kept), progress_bar("Analysing") as report:
        done = analyze(
            run,
            steps,
            space=space,
            by=by,
            classes=classes,
            workers=workers,
            cluster=cluster,
            seed=seed,
            cache=not no_cache,
            progress=report,  # type: ignore[arg-type]
        )
    print_ranking(done)
    check(done)


def configured(preset: str, settings: Sequence[str]) -> Pipeline:
    """Return a preset or TOML file with `NAME=VALUE` and `STEP.PARAM=VALUE` settings of it and its steps."""
    import yaml

    from backlight.core.errors import RequestError
    from backlight.core.pipeline import pipeline
    from backlight.core.pipelines.pipeline_file import read_pipeline

    own: dict[str, Any] = {}
    of_steps: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise RequestError(f"--set {setting!r} is not of the form STEP.PARAM=VALUE")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RequestError(f"--set {setting!r}: {text!r} is not a value") from error
        (of_steps if "." in name else own)[name] = value
    if not preset.endswith(".toml"):
        return pipeline(preset, **own).replace(of_steps)
    if own:
        raise RequestError(f"--set {next(iter(own))}: a pipeline file has parameters of steps only")
    return read_pipeline(preset).replace(of_steps)


def swept(steps: Pipeline, sweeps: Sequence[str]) -> Pipeline:
    """Return the pipeline with every `STEP.PARAM=A,B,…` run once for each value."""
    import yaml

    from backlight.core.errors import RequestError
    from backlight.core.pipelines.pipeline_file import sweep

    for text in sweeps:
        name, equals, values = text.partition("=")
        try:
            listed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError as error:
            raise RequestError(f"--sweep {text!r}: {values!r} is no list of values") from error
        if not equals or "." not in name:
            raise RequestError(f"--sweep {text!r} is not of the form STEP.PARAM=A,B,…")
        steps = sweep(steps, name, tuple(listed))
    return steps


def print_ranking(done: Analysed) -> None:
    """Print the classes by falling suspicion, and where the results are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from backlight.core.analysis_file import SCORES

    console = Console(soft_wrap=True)
    table = Table("#", "class", title=f"Classes by suspicion ({done.method})")
    for heading in ("samples", *SCORES, "eigengap", "suspicious cluster", "size", "purity"):
        table.add_column(heading, justify="right")
    for rank, row in enumerate(done.findings, start=1):
        scores = (_number(getattr(row, field)) for field in SCORES.values())
        counts = (_count(value) for value in (row.eigengap, row.suspicious_cluster, row.suspicious_size))
        purity = "-" if math.isnan(row.suspicious_purity) else f"{row.suspicious_purity:.0%}"
        table.add_row(
            str(rank), Text(row.name), str(row.size), *scores, *counts, purity
        )  # a name is no markup
    if not console.is_terminal:
        console.width = 140  # in a file nothing needs to fit a window
    console.print(table, soft_wrap=False)
    left_out = sum(row.left_out for row in done.findings)
    if left_out:
        click.echo(f"{left_out} samples were left out: their relevance is not finite.")
    if done.replaced:
        click.echo(
            f"Results of {done.replaced} other classes, made with other settings, are gone from the file; "
            "analyse them again to compare."
        )
    if done.computed < done.steps:
        click.echo(f"{done.computed} of {done.steps} steps were computed, the others came from the cache.")
    click.echo(f"Results: {done.path}")


def check(done: Analysed) -> None:
    """Raise BacklightError naming the classes that could not be analysed, if there are any."""
    from backlight.core.errors import BacklightError

    if not done.failed:
        return
    more = f"; and {len(done.failed) - _NAMED} more" if len(done.failed) > _NAMED else ""
    error = BacklightError("not analysed: " + "; ".join(map(str, done.failed[:_NAMED])) + more)
    for note in getattr(done.failed[0], "__notes__", ()):  # where it was, for --debug
        error.add_note(note)
    raise error


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _count(value: int) -> str:
    return "-" if value < 0 else str(value)
