"""The run itself: check that the request holds, make the shards that are missing, finish."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from backlight.core.coverage import Coverage
from backlight.core.errors import BacklightError, EngineError, RequestError
from backlight.core.explainer import Explainer
from backlight.core.run.explaining import beside
from backlight.core.run.finishing import Finished, finish
from backlight.core.run.identity import check_same_run, coverage_facts, digest, facts
from backlight.core.run.layout import CONFIG_FILE, RUN_FILE, Layout, locked, sweep
from backlight.core.run.making import make_shards
from backlight.core.run.reading import read_picture
from backlight.core.run.settings import Settings
from backlight.core.run.writing import missing, read_record
from backlight.core.sources.data import Source
from backlight.core.sources.sizes import fitting
from backlight.core.store import atomic_text, disk_errors

Progress = Callable[[int, int, str, int], None]
"""Called with samples done, samples in all, the name of the shard just finished ("" within one), and how many
samples of finished shards failed."""


class Stopped(BacklightError):  # noqa: N818  # asked for, no error
    """The run was asked to stop, and did after a whole shard."""

    exit_code = 130


class Elsewhere(Protocol):
    """Makes shards somewhere else, e.g. on a cluster."""

    def __call__(self, root: Path, run: str, shards: Sequence[int]) -> Iterable[int]:
        """Make the shards and yield the number of each when it is complete."""


def attribute_dataset(
    explainer: Explainer,
    source: Source,
    root: Path,
    settings: Settings | None = None,
    *,
    name: str | None = None,
    described: Mapping[str, Any] | None = None,
    config: str | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    elsewhere: Elsewhere | None = None,
) -> Finished:
    """Explain every sample of `source` into the run directory `root`, continuing where a call stopped.

    described: further plain facts to record, e.g. the model's name. config: text of the run.toml to keep.
    stop: when set, the run ends after the shard in flight and raises Stopped. elsewhere: makes the shards in
    place of this process. Raises RequestError when `root` holds another run or another process writes it.
    """
    settings = settings or Settings()
    if len(source) == 0:
        raise RequestError(f"data {source.name!r} is empty: there is nothing to attribute")
    identity = facts(explainer, source, settings, dict(described or {}))
    check_same_run(root, identity)
    shape, coverage = try_one(explainer, source, settings)  # a wrong request leaves no directory behind
    identity["coverage"] = coverage_facts(coverage)
    layout = Layout(root, len(source), settings.shard_size)
    run = digest(identity)
    with disk_errors(root), locked(root):
        check_same_run(root, identity)
        sweep(root)
        write_request(root, identity, config)
        todo = missing(layout, run)
        tally = Tally(progress, layout, todo)
        made: Iterable[int] = (
            make_shards(explainer, source, layout, settings, run, todo, shape, tally.explained, stop)
            if elsewhere is None
            else elsewhere(root, run, todo)
        )
        for shard in made:
            tally.made(shard)
        if tally.left:
            raise Stopped(
                f"stopped with {len(layout) - tally.left} of {len(layout)} shards done in {root}; "
                "the same command continues"
            )
        method = explainer.composite.name if explainer.composite else type(explainer.method).__name__.lower()
        return finish(layout, identity, name or root.resolve().name, method, settings.failure_limit)


def try_one(explainer: Explainer, source: Source, settings: Settings) -> tuple[tuple[int, ...], Coverage]:
    """Explain one readable sample and throw it away, so that a model that cannot be explained fails at once.

    Returns the shape (H, W, 3) of its picture, and the coverage of the model.
    """
    reason: BacklightError | None = None
    for number in range(len(source)):
        picture = read_picture(source, settings, number)
        if isinstance(picture, str):
            reason = reason or BacklightError(picture)
            continue
        inputs = beside(explainer.model, settings.preprocessing.inputs(picture[None]))
        labels = torch.tensor([source.label(number)], device=inputs.device)
        layers = settings.output.layers
        try:
            with fitting(explainer.model, inputs):
                explained = explainer.explain(inputs, settings.explained, labels=labels, layers=layers)
        except EngineError as error:  # of this sample perhaps; two in a row are taken for the model's
            if isinstance(reason, EngineError) or "NaN" not in str(error):
                raise
            reason = error
            continue
        return picture.shape, explained.coverage
    if isinstance(reason, EngineError):
        raise reason
    raise RequestError(f"none of the {len(source)} samples of data {source.name!r} can be read: {reason}")


def write_request(root: Path, identity: Mapping[str, Any], config: str | None) -> None:
    """Write run.json, and run.toml where the run has one.

    run.json comes first: it tells a run from a stranger's folder, which the same command would refuse.
    """
    atomic_text(root / RUN_FILE, json.dumps(identity, indent=1, ensure_ascii=False) + "\n")
    if config is not None:
        atomic_text(root / CONFIG_FILE, config)


class Tally:
    """Counts samples, shards and failures, and reports them."""

    def __init__(self, progress: Progress | None, layout: Layout, todo: Sequence[int]) -> None:
        self._progress, self._layout = progress, layout
        self.left = len(todo)
        there = sorted(set(range(len(layout))) - set(todo))
        self._done = sum(len(layout.numbers(shard)) for shard in there)
        self._explained, self._failed = self._done, sum(map(self._failures, there))
        if there:
            self._report(self._done, f"{len(there)} of {len(layout)} shards were there")

    def explained(self, samples: int) -> None:
        """Count samples of a shard in flight."""
        self._explained += samples
        self._report(self._explained, "")

    def made(self, shard: int) -> None:
        """Count a shard that is complete."""
        self.left -= 1
        self._done += len(self._layout.numbers(shard))
        self._explained = max(self._explained, self._done)
        self._failed += self._failures(shard)
        self._report(self._done, f"shard {shard + 1} of {len(self._layout)}")

    def _failures(self, shard: int) -> int:
        record = read_record(self._layout, shard)
        return len(record.failures) if record else 0

    def _report(self, done: int, name: str) -> None:
        if self._progress is not None:
            self._progress(done, self._layout.samples, name, self._failed)
