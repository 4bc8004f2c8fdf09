"""`backlight demo`: from pictures to a found artefact with one command."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from backlight.app.demo import Poisoned

RUN_FOLDER = "run"
MODEL = "backlight.app.demo:small_cnn"


@click.command()
@click.option(
    "--dataset",
    type=click.Choice(["digits", "cifar10"]),
    default="digits",
    show_default=True,
    help="cifar10 is downloaded.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Draws the poisoned class and samples, and trains the network.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Default: backlight-demo/<dataset>-<seed>.")
@click.option("--no-explore", is_flag=True, help="Stop after the table.")
@click.option(
    "--port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Of the explorer; 0 picks a free one.",
)
def command(dataset: str, seed: int, out: Path | None, no_explore: bool, port: int) -> None:
    """Poison one class of real pictures, train a network on them, and find the artefact again."""
    out = out or Path("backlight-demo") / f"{dataset}-{seed}"
    run = out / RUN_FOLDER
    if not no_explore:
        from backlight.app.explorer.server import check_port

        check_port("127.0.0.1", port)  # told now, not after the work
    find(dataset, seed, out)
    if no_explore:
        live = f"--model {MODEL} --weights {weights_file(out, seed)}"
        click.echo(f"\nLook at it: backlight explore {run} {live}")
        return
    from backlight.app.web import serve

    serve(
        [run],
        host="127.0.0.1",
        port=port,
        open_browser=True,
        announce=lambda url: click.echo(f"\nLook at it: {url}  (Ctrl-C to stop)"),
        live={"model": MODEL, "weights": str(weights_file(out, seed))},
    )


def find(dataset: str, seed: int, out: Path) -> None:
    """Run every stage of the demo into `out` and print what it found."""
    with stage("Loading libraries"):
        from backlight.app import demo
        from backlight.app.cli.analyze import check, print_ranking
        from backlight.app.cli.attribute import print_finished
        from backlight.app.cli.progress import progress_bar
        from backlight.core.analysis import analyze
        from backlight.core.explainer import Explainer
        from backlight.core.run import Settings, attribute_dataset

    with stage("Painting a square into half the training pictures of one class"):
        pictures = demo.digits() if dataset == "digits" else demo.cifar10(out / "download")
        source = demo.poison(dataset, *pictures, seed=seed)
    victim = source.classes[source.victim]
    click.echo(f"  {len(source)} pictures, {source.poisoned.sum()} of class {victim!r} painted")
    with stage("Training a small network on them"), progress_bar("  trained") as report:
        model = trained(source, seed, out, report)
    click.echo(
        f"  accuracy: {demo.accuracy(model, source, source.train):.1%} on training pictures, "
        f"{demo.accuracy(model, source, ~source.train):.1%} on others"
    )
    with stage("Explaining every picture by LRP"), progress_bar("  explained") as report:
        done = attribute_dataset(
            Explainer(model, composite="epsilon-plus"),
            source,
            out / RUN_FOLDER,
            Settings(demo.PREPROCESSING, batch_size=128),
            name=f"demo {dataset} {seed}",
            # Sources are told apart by names and labels, which painting does not change.
            described={"model": MODEL, "seed": seed},
            progress=report,
        )
    print_finished(done)
    with stage("Clustering the explanations of every class (SpRAy)"), progress_bar("  analysed") as report:
        analysed = analyze(out / RUN_FOLDER, seed=seed, progress=report)
    click.echo()
    print_ranking(analysed)
    check(analysed)
    verdict = demo.judge(out / RUN_FOLDER, source, analysed)
    click.echo(
        f"\nThe truth, which the analysis was not told: class {victim!r} was painted. "
        f"It ranks {verdict.rank} of {len(source.classes)}.\n"
        f"Of the {verdict.size} pictures in its suspicious cluster {verdict.hits} are "
        f"painted (purity {verdict.purity:.0%}), of {verdict.poisoned} painted in all (F1 {verdict.f1:.2f})."
    )


def weights_file(out: Path, seed: int) -> Path:
    """Return where a demo keeps its network; another seed is another one."""
    return out / f"model-{seed}.safetensors"


def trained(source: Poisoned, seed: int, out: Path, report: Callable[..., None]) -> nn.Module:
    """Return the network trained on the pictures, or the one that an earlier demo left in `out`."""
    from safetensors.torch import save_file

    from backlight.app import demo
    from backlight.core.sources.models import load_weights
    from backlight.core.store import atomic_path

    path = weights_file(out, seed)
    if path.is_file():
        model = demo.small_cnn(len(source.classes)).eval()
        load_weights(model, path)
        return model
    model = demo.train(source, seed, progress=report)
    with atomic_path(path) as part:
        save_file(model.state_dict(), part)
    return model


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announce a stage and, when it is done, how long it took."""
    click.secho(f"{title} …", bold=True)
    start = time.perf_counter()
    yield
    click.echo(f"  done in {time.perf_counter() - start:.1f} s")
