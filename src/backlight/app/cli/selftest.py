"""`backlight selftest`: plant an artefact, fool a network with it, and see whether a pipeline tells."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from backlight.app.selftest.trial import Candidate, Trial
    from backlight.core.sources.data import Source
    from backlight.core.sources.preprocessing import Preprocessing


@click.command()
@click.argument("data", metavar="DATA")
@click.option(
    "--artefact",
    "artefacts",
    type=click.Choice(["box", "watermark", "colour", "frequency"]),
    multiple=True,
    default=("box",),
    show_default=True,
    help="What is planted; repeatable.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Factor on side, opacity, shift or amplitude of what is planted.",
)
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Victim class; repeatable; default: all."
)
@click.option("--trials", type=click.IntRange(min=1), default=1, show_default=True, help="Of each setting.")
@click.option(
    "--share", type=click.FloatRange(0.01, 0.99), default=0.5, show_default=True, help="Planted pictures."
)
@click.option(
    "--per-class", type=click.IntRange(min=25), default=3000, show_default=True, help="Pictures used."
)
@click.option(
    "--maps", type=click.IntRange(min=10), default=2000, show_default=True, help="Pictures explained."
)
@click.option("--epochs", type=click.IntRange(min=1), default=8, show_default=True, help="Of training.")
@click.option("--size", type=click.IntRange(min=8), help="Side of the pictures; default: as they are.")
@click.option("--model", metavar="FACTORY", help="Network to train: module:factory; default: a small one.")
@click.option(
    "--clean", type=click.Path(path_type=Path), help="Weights trained on clean pictures; with --model."
)
@click.option(
    "--poisoned", type=click.Path(path_type=Path), help="Weights trained on planted ones; with --model."
)
@click.option(
    "--pipeline",
    "presets",
    multiple=True,
    default=("spray",),
    show_default=True,
    metavar="NAME[@LAYER]",
    help="What is tested, on the relevance of a layer if one is named; repeatable.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="STEP.PARAM=VALUE", help="As for backlight analyze."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the first trial."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("selftest"),
    show_default=True,
    help="Folder of pictures, networks and result.",
)
def command(
    data: str,
    artefacts: tuple[str, ...],
    strength: float,
    classes: tuple[str, ...],
    trials: int,
    share: float,
    per_class: int,
    maps: int,
    epochs: int,
    size: int | None,
    model: str | None,
    clean: Path | None,
    poisoned: Path | None,
    presets: tuple[str, ...],
    settings: tuple[str, ...],
    seed: int,
    out: Path,
) -> None:
    """Plant artefacts in the class folders of DATA and say whether the pipeline would have found them.

    Each setting tells a class from the one before it. A clean network and one whose training pictures of the
    class carry the artefact by half are explained on the same pictures; the clean one is the control.
    """
    from backlight.app.cli.progress import progress_bar
    from backlight.core.errors import RequestError
    from backlight.core.sources.data import open_source
    from backlight.core.sources.preprocessing import Preprocessing

    if bool(clean) != bool(poisoned) or (clean and not model):
        raise RequestError("--clean and --poisoned go together, and need --model")
    source = open_source(data)
    victims = _victims(source, classes)
    candidates = [_candidate(text, settings) for text in presets]
    scale = Preprocessing((size, size) if size else None, (0.5,) * 3, (0.25,) * 3)
    plan = [(v, a, seed + t) for v in victims for a in artefacts for t in range(trials)]
    done: list[Trial] = []
    with progress_bar("Testing") as report:
        report(0, len(plan), "")
        for victim, artefact, number in plan:
            done += _trials(
                source,
                victim,
                artefact,
                number,
                candidates,
                scale,
                strength=strength,
                per_class=per_class,
                share=share,
                maps=maps,
                models=_models(model, clean, poisoned, epochs),
            )
            written = _write(out, done)  # after every trial: a killed test leaves what it has found out
            report(len(done) // len(candidates), len(plan), f"{source.classes[victim]}, {artefact}")
    _print(done, written)


def _candidate(text: str, settings: tuple[str, ...]) -> Candidate:
    """Return the pipeline NAME, or NAME@LAYER for the relevance of a layer."""
    from backlight.app.cli.analyze import configured
    from backlight.app.selftest.trial import Candidate

    name, _, layer = text.partition("@")
    return Candidate(configured(name, settings), layer or None)


def _victims(source: Source, classes: tuple[str, ...]) -> list[int]:
    from backlight.core.errors import RequestError, unknown

    names = list(source.classes)
    if len(names) < 2:
        raise RequestError(f"{source.name} has {len(names)} class, a self-test needs two")
    for name in classes:
        if name not in names:
            raise RequestError(unknown("class", name, names))
    return [names.index(name) for name in classes] or list(range(len(names)))


def _models(
    model: str | None, clean: Path | None, poisoned: Path | None, epochs: int
) -> Callable[..., tuple[nn.Module, nn.Module]]:
    """Return what gives the clean and the poisoned network of a pair of classes: trained here, or loaded."""
    from backlight.app.selftest.network import small_network
    from backlight.app.selftest.trial import networks
    from backlight.core.sources.models import load_model

    if model and clean and poisoned:
        return lambda pair, scale, seed: tuple(
            load_model(model, weights, num_classes=2).eval() for weights in (clean, poisoned)
        )  # type: ignore[return-value]
    build = (lambda: load_model(model, num_classes=2)) if model else small_network
    return lambda pair, scale, seed: networks(pair, scale, epochs=epochs, seed=seed, build=build)


def _trials(
    source: Source,
    victim: int,
    artefact: str,
    seed: int,
    candidates: Sequence[Candidate],
    scale: Preprocessing,
    *,
    strength: float,
    per_class: int,
    share: float,
    maps: int,
    models: Callable[..., tuple[nn.Module, nn.Module]],
) -> list[Trial]:
    from backlight.app.selftest.artefacts import ARTEFACTS
    from backlight.app.selftest.pictures import pair
    from backlight.app.selftest.trial import run

    plant = functools.partial(ARTEFACTS[artefact], strength=strength)
    planted = pair(source, victim, plant, size=scale, per_class=per_class, share=share, seed=seed)
    networks = models(planted, scale, seed)
    return run(
        planted, networks, candidates, scale, artefact=artefact, strength=strength, maps=maps, seed=seed
    )


def _write(out: Path, done: list[Trial]) -> list[Path]:
    """Write the table and the plots, those of scores once for every pipeline; return their paths."""
    from backlight.app.selftest.outcome import scatter, table
    from backlight.core.store import atomic_text

    by_pipeline = _by_pipeline(done)
    first = next(iter(by_pipeline.values()))
    files = {
        "selftest.csv": table(done),
        "accuracy.svg": scatter(first, "inverse", "Accuracy under inverse poisoning"),
    }
    for name, trials in by_pipeline.items():
        for score in ("suspicion", "tau"):
            file = f"{score}.svg" if len(by_pipeline) == 1 else f"{score}-{name.replace('/', '-')}.svg"
            files[file] = scatter(trials, score, f"{score} of the victim class ({name})")
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        atomic_text(out / file, text)
    return [out / file for file in files]


def _by_pipeline(done: list[Trial]) -> dict[str, list[Trial]]:
    return {name: [t for t in done if t.pipeline == name] for name in dict.fromkeys(t.pipeline for t in done)}


def _print(done: list[Trial], paths: list[Path]) -> None:
    """Print one line per network, and the verdict on each pipeline and artefact."""
    from rich.console import Console
    from rich.table import Table

    from backlight.app.selftest.outcome import MEASURES, sentence

    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 140
    for name, trials in _by_pipeline(done).items():
        table = Table("class", "artefact", "seed", "network", title=f"Would {name} have found it?")
        for measure in MEASURES:
            table.add_column(measure.replace("_", " "), justify="right")
        for trial in trials:
            for network, seen in (("clean", trial.clean), ("poisoned", trial.poisoned)):
                figures = [f"{getattr(seen, measure):.2f}" for measure in MEASURES]
                table.add_row(trial.victim, trial.artefact, str(trial.seed), network, *figures)
        console.print(table, soft_wrap=False)
        for artefact in dict.fromkeys(trial.artefact for trial in trials):
            click.echo(sentence([trial for trial in trials if trial.artefact == artefact]))
    click.echo(f"Results: {', '.join(map(str, paths))}")
