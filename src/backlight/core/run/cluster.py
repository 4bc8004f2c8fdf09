"""The same shards as tasks of dask.distributed; every worker writes its own into the shared run directory."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backlight.core.cluster import connected
from backlight.core.errors import BacklightError, RequestError
from backlight.core.run.attributing import Elsewhere, try_one
from backlight.core.run.identity import digest, facts
from backlight.core.run.layout import Layout
from backlight.core.run.making import make_shards
from backlight.core.run.preparing import Prepared, prepare
from backlight.core.run_config import Config
from backlight.core.store import disk_errors

_AT_HAND: dict[str, tuple[Prepared, tuple[int, ...]]] = {}
"""What this worker prepared last, by run; a model is built once a worker, not once a shard."""


@contextmanager
def shards_on(config: Config, stop: threading.Event) -> Iterator[Elsewhere]:
    """Connect to the cluster of a config and yield what makes shards there.

    When `stop` is set no further shard is begun. Raises RequestError when dask.distributed or the cluster is
    not there.
    """
    with connected(str(config.cluster)) as client:

        def make(root: Path, run: str, shards: Sequence[int]) -> Iterable[int]:
            return _made(client, config, root, run, shards, stop)

        yield make


def _made(
    client: Any, config: Config, root: Path, run: str, shards: Sequence[int], stop: threading.Event
) -> Iterator[int]:
    """Yield every shard when a worker has made it; a shard whose worker dies goes to another."""
    distributed = importlib.import_module("distributed")
    waiting = list(reversed(shards))

    def submit() -> Any:
        return client.submit(
            make_shard,
            config,
            str(Path.cwd()),
            str(root.resolve()),
            run,
            waiting.pop(),
            pure=False,
            retries=2,
        )

    at_once = max(1, sum(client.nthreads().values()))
    running = distributed.as_completed([submit() for _ in shards[: at_once + 1]])
    for future in running:
        try:
            yield int(future.result())
        except distributed.KilledWorker as error:
            raise BacklightError(
                f"a shard of {root} brought down every worker that took it, perhaps for want of memory"
            ) from error
        if waiting and not stop.is_set():
            running.add(submit())


def make_shard(config: Config, folder: str, root: str, run: str, shard: int) -> int:
    """Make one shard on a worker that shares the file system with who asked for it; returns its number.

    folder: where relative paths of the config count from.
    """
    if run not in _AT_HAND:
        os.chdir(folder)
        ready = prepare(config)
        found = digest(facts(ready.explainer, ready.source, ready.settings, ready.described))
        if found != run:
            raise RequestError(
                "a worker sees other weights, data or plugins than the process that sent the run"
            )
        _AT_HAND.clear()
        _AT_HAND[run] = ready, try_one(ready.explainer, ready.source, ready.settings)[0]
    ready, shape = _AT_HAND[run]
    layout = Layout(Path(root), len(ready.source), ready.settings.shard_size)
    with disk_errors(layout.root):
        list(make_shards(ready.explainer, ready.source, layout, ready.settings, run, [shard], shape))
    return shard
