"""Shards on disk: filled batch by batch, renamed when complete, then recorded with size and checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError
from backlight.core.run.explaining import Rows
from backlight.core.run.layout import SHARD_FOLDERS, Layout
from backlight.core.run.reading import Batch
from backlight.core.run.settings import Output
from backlight.core.sources.data import Source
from backlight.core.store import Sink, atomic_sink, atomic_text


class Draft:
    """One shard being written; `finish` makes it appear, `abandon` leaves nothing of it."""

    def __init__(self, layout: Layout, shard: int, output: Output, source: Source, run: str) -> None:
        self.layout, self.shard, self.output, self.source, self.run = layout, shard, output, source, run
        self._numbers = layout.numbers(shard)
        self._failures: dict[int, str] = {}
        self._rows = 0
        self._open = contextlib.ExitStack()
        self._files: dict[str, h5py.File] = {}
        self._sinks: list[Sink] = []

    def add(self, batch: Batch, rows: Rows) -> None:
        """Write one batch, which follows the one before it."""
        if not self._files:
            self._start(batch.pictures.shape[1:])
        data = self._files["data"]["data"]
        first = int(batch.numbers[0]) - self._numbers.start
        data[first : first + len(batch.numbers)] = np.moveaxis(batch.pictures, -1, 1)
        self._failures.update(rows.failures)
        added = len(rows.arrays.get("index", ()))
        for key, values in rows.arrays.items():
            self._dataset(key, values)[self._rows : self._rows + added] = values
        self._rows += added
        for sink in self._sinks:
            sink.check()

    def _start(self, picture: tuple[int, ...]) -> None:
        for kind in SHARD_FOLDERS:
            path = self.layout.shard(kind, self.shard)
            self._files[kind], sink = self._open.enter_context(atomic_sink(path))
            self._sinks.append(sink)
        file, n = self._files["data"], len(self._numbers)
        height, width, channels = picture
        shape = (channels, height, width)
        file.create_dataset("data", (n, *shape), np.uint8, chunks=(1, *shape), **self.output.filters)
        file["label"] = np.array([self.source.label(i) for i in self._numbers], dtype=np.uint16)
        origins = [self.source.origin(i) for i in self._numbers]
        file.create_dataset("source", data=origins, dtype=h5py.string_dtype())

    def _dataset(self, key: str, values: NDArray[Any]) -> h5py.Dataset:
        """Return the dataset of a kind of row, made for as many rows as the shard can have."""
        file, n = self._files["attribution"], len(self._numbers)
        if key in file:
            return file[key]
        filters = self.output.filters if values.ndim > 2 else {}
        chunk = (1 if values.ndim > 2 else n, *values.shape[1:])
        whole = (n, *values.shape[1:])
        return file.create_dataset(key, whole, values.dtype, maxshape=whole, chunks=chunk, **filters)

    def finish(self) -> None:
        """Make both files appear and record them; only then the shard counts as done."""
        file = self._files["attribution"]
        training = [self.source.training(i) for i in self._numbers]
        if self._rows and all(t is not None for t in training):
            rows = np.asarray(file["index"][: self._rows], dtype=np.int64) - self._numbers.start
            file["train"] = np.array(training, dtype=bool)[rows]
        for dataset in datasets(file).values():
            dataset.resize(self._rows, axis=0) if dataset.maxshape[0] and dataset.chunks else None
        failures = {str(i): reason for i, reason in sorted(self._failures.items())}
        file.attrs["failures"] = json.dumps(failures)
        self._open.close()
        paths = [self.layout.shard(kind, self.shard) for kind in SHARD_FOLDERS]
        record = {
            "run": self.run,
            "samples": [self._numbers.start, self._numbers.stop],
            "rows": self._rows,
            "failures": failures,
            "files": {p.relative_to(self.layout.root).as_posix(): checksum(p) for p in paths},
        }
        atomic_text(self.layout.record(self.shard), json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def abandon(self, error: BaseException) -> None:
        """Close and remove what was begun."""
        with contextlib.suppress(BaseException):
            self._open.__exit__(type(error), error, error.__traceback__)


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return every dataset of a file by its path, groups opened."""
    found: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: found.__setitem__(name, item) if isinstance(item, h5py.Dataset) else None
    )
    return found


def checksum(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


@final
@dataclass(frozen=True)
class Record:
    """What was noted when a shard was complete."""

    run: str
    samples: tuple[int, int]
    rows: int
    failures: Mapping[int, str]
    files: Mapping[str, Mapping[str, Any]]


def read_record(layout: Layout, shard: int) -> Record | None:
    """Return the record of a shard, or None if there is none yet; FormatError where it cannot be read."""
    path = layout.record(shard)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        failures = {int(number): str(reason) for number, reason in found["failures"].items()}
        first, stop = found["samples"]
        files = {str(name): dict(facts) for name, facts in found["files"].items()}
        return Record(str(found["run"]), (int(first), int(stop)), int(found["rows"]), failures, files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is no record of a shard ({error!r})") from error


def complete(layout: Layout, shard: int, run: str) -> bool:
    """Say whether a shard of this run is done: recorded, and its files there in full length."""
    try:
        record = read_record(layout, shard)
    except FormatError:
        return False
    if record is None or record.run != run:
        return False
    paths = {layout.root / name: int(facts["bytes"]) for name, facts in record.files.items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def missing(layout: Layout, run: str) -> Sequence[int]:
    """Return the shards that are still to be made."""
    return [shard for shard in range(len(layout)) if not complete(layout, shard, run)]
