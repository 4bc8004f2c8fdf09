"""Shards made in this process: pictures read ahead, explained, written behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from backlight.core.errors import BacklightError
from backlight.core.explainer import Explainer
from backlight.core.run.background import Background
from backlight.core.run.explaining import explain_batch
from backlight.core.run.layout import Layout
from backlight.core.run.reading import read_ahead
from backlight.core.run.settings import Settings
from backlight.core.run.writing import Draft
from backlight.core.sources.data import Source


def make_shards(
    explainer: Explainer,
    source: Source,
    layout: Layout,
    settings: Settings,
    run: str,
    shards: Sequence[int],
    shape: tuple[int, ...],
    explained: Callable[[int], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Iterator[int]:
    """Make shards and yield each when it is complete; after `stop` is set, begin no other.

    run: digest of the run's identity. shape: (H, W, 3) of the fitted pictures. explained: told the size of
    every batch that the model has done.
    """
    plan = [(shard, numbers) for shard in shards for numbers in _batches(layout.numbers(shard), settings)]
    reader = read_ahead(source, settings, [numbers for _, numbers in plan], shape)
    drafts: dict[int, Draft] = {}
    complete: list[int] = []
    writer = Background()
    try:
        for (shard, numbers), batch in zip(plan, reader, strict=False):
            draft = drafts.setdefault(shard, Draft(layout, shard, settings.output, source, run))
            writer.submit(draft.add, batch, explain_batch(explainer, settings, batch))
            explained(len(numbers))
            if numbers.stop == layout.numbers(shard).stop:
                writer.submit(_finish, drafts, shard, complete)
                if stop is not None and stop.is_set():
                    break
            while complete:
                yield complete.pop(0)
        writer.drain()
        yield from complete
    except BaseException as error:
        writer.cancel()
        for draft in drafts.values():
            draft.abandon(error)
        if error is writer.error and not isinstance(error, OSError):  # HDF5 words a full disk in several ways
            raise BacklightError(f"cannot write shards into {layout.root}: {error}") from error
        raise
    finally:
        reader.close()


def _batches(numbers: range, settings: Settings) -> list[range]:
    return [numbers[k : k + settings.batch_size] for k in range(0, len(numbers), settings.batch_size)]


def _finish(drafts: dict[int, Draft], shard: int, complete: list[int]) -> None:
    drafts[shard].finish()
    del drafts[shard]
    complete.append(shard)
