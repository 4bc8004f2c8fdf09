"""Files on disk: written beside their final name, renamed when complete, read with errors that name them."""

from __future__ import annotations

import fcntl
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import BacklightError, FormatError

DENSE, SMALL = 4, 4096
"""Rows of at most SMALL bytes are read in one piece when more than one in DENSE of it is wanted."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` on success, remove it on any failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)  # mkstemp's 0600 would hide finished results from everyone else
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class Sink(io.FileIO):
    """A file for HDF5, which crashes the process when a write fails: here every write seems to succeed.

    error: the first one that did not; raised by `check`.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or remember why not."""
        view = memoryview(data).cast("B")
        rest = view
        while self.error is None and len(rest):
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the error of an earlier write."""
        if self.error is not None:
            raise self.error


@contextmanager
def atomic_sink(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Yield what `atomic_hdf5` does, and the sink that knows early whether writing failed."""
    with atomic_path(path) as part, Sink(part, "w+") as sink:
        with h5py.File(sink, "w") as file:
            yield file, sink
        sink.check()


@contextmanager
def atomic_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file that appears under `path` only when it is complete."""
    with atomic_sink(path) as (file, _):
        yield file


@contextmanager
def disk_errors(root: Path, kept: str = "finished shards") -> Iterator[None]:
    """Word an error of the file system; `kept` is what it leaves as it was."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise BacklightError(
            f"cannot write into {root}: {reason}; {kept} are kept, the same command continues"
        ) from error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process is within this for the same file, and keep others waiting."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def atomic_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` in one step."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file read-only; raise FormatError when it is missing, truncated or something else."""
    if not path.is_file():
        raise FormatError(f"{path} does not exist; expected an HDF5 file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError(f"{path} is not a readable HDF5 file ({error})") from error


class Rows:
    """Samples of one HDF5 item in either form: a dataset (N, …), or a group with one dataset per sample.

    In a group, position means byte-wise sorted key order ('1', '10', '2').
    """

    def __init__(self, file: h5py.File, key: str) -> None:
        if key not in file:
            raise FormatError(
                f"{file.filename} has no {key!r}; it holds {', '.join(sorted(file)) or 'nothing'}"
            )
        self._item = file[key]
        self.keys: list[str] | None = None
        if isinstance(self._item, h5py.Group):
            self.keys = sorted(self._item, key=lambda name: name.encode())
        else:
            _check_shards(self._item)

    def __len__(self) -> int:
        return len(self.keys) if self.keys is not None else int(self._item.shape[0])

    def __getitem__(self, position: int) -> NDArray[np.generic]:
        if not 0 <= position < len(self):
            raise FormatError(
                f"{self._item.file.filename}{self._item.name} has {len(self)} samples, none at {position}"
            )
        return np.asarray(self._read(self.keys[position] if self.keys is not None else position))

    def take(self, positions: NDArray[np.integer]) -> list[NDArray[np.generic]]:
        """Return the samples at `positions`, in that order; a dataset is read in one sorted pass."""
        if self.keys is not None:
            return [self[int(p)] for p in positions]
        block, inverse = self._block(positions)
        return [block[i] for i in inverse]

    def stacked(self, positions: NDArray[np.integer]) -> NDArray[np.generic]:
        """Return the samples at `positions` as one array, much faster than `take` where they are small."""
        if self.keys is not None:
            return np.stack(self.take(positions))
        block, inverse = self._block(positions)
        found: NDArray[np.generic] = block[inverse]
        return found

    def _block(self, positions: NDArray[np.integer]) -> tuple[NDArray[np.generic], NDArray[np.integer]]:
        """Return samples that hold those at `positions`, and where each of these is among them."""
        unique, inverse = np.unique(np.asarray(positions, dtype=np.int64), return_inverse=True)
        if len(unique) and (unique[0] < 0 or unique[-1] >= len(self)):
            raise FormatError(
                f"{self._item.file.filename}{self._item.name} has {len(self)} samples, not {unique[-1]}"
            )
        if not len(unique):
            return self._read(slice(0, 0)), inverse
        first, beyond = int(unique[0]), int(unique[-1]) + 1
        gaps = (beyond - first) / len(unique)
        # HDF5 takes far longer to pick single rows than to read on.
        if gaps == 1 or (gaps < DENSE and self._row_bytes <= SMALL):
            return self._read(slice(first, beyond)), unique[inverse] - first
        return self._read(unique), inverse

    @property
    def _row_bytes(self) -> int:
        return int(self._item.dtype.itemsize * np.prod(self._item.shape[1:], dtype=np.int64))

    def array(self) -> NDArray[np.generic]:
        """Return every sample of one size as one array, in position order."""
        return self._read(slice(None)) if self.keys is None else np.stack(self.all())

    def _read(self, key: Any) -> NDArray[np.generic]:
        try:
            return np.asarray(self._item[key])
        except OSError as error:
            raise FormatError(
                f"{self._item.file.filename}{self._item.name} cannot be read, "
                f"it or a shard of it is damaged: {error}"
            ) from error

    def all(self) -> list[NDArray[np.generic]]:
        """Return every sample, in position order."""
        return self.take(np.arange(len(self)))


def class_indices(rows: Rows) -> NDArray[np.int64]:
    """Return (N,) class indices from integer labels, or the first set class of n-hot ones."""
    if rows.keys is None:
        values = rows.array()
        return np.asarray(values if values.ndim == 1 else values.argmax(axis=1), dtype=np.int64)
    return np.array([int(np.argmax(r)) if r.ndim else int(r) for r in rows.all()], dtype=np.int64)


def _check_shards(dataset: h5py.Dataset) -> None:
    """Raise FormatError for a shard that is not there: HDF5 itself would read zeros in its place."""
    if not dataset.is_virtual:
        return
    folder = Path(dataset.file.filename).parent
    for name in {source.file_name for source in dataset.virtual_sources()} - {"."}:
        if not (folder / name).is_file():
            raise FormatError(f"{dataset.file.filename} joins {folder / name}, which does not exist")


def channels_first(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return (C, H, W) from (C, H, W), (H, W, C) or (H, W); channels are the smallest axis."""
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise FormatError(f"expected an image of shape (C, H, W), (H, W, C) or (H, W), got {array.shape}")
    return array if array.shape[0] <= min(array.shape[1:]) else np.moveaxis(array, -1, 0)


def displayable(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return an (H, W, 3) uint8 picture from an input in any supported layout, uint8 or [0, 1] floats.

    One channel is repeated; channels past the third are dropped; NaN shows as black.
    """
    image = channels_first(array)
    if image.dtype != np.uint8:
        values = np.clip(np.nan_to_num(image.astype(np.float64)), 0, 255)
        image = (values * 255 if values.max(initial=0.0) <= 1.0 else values).round().astype(np.uint8)
    image = np.repeat(image[:1], 3, axis=0) if image.shape[0] < 3 else image[:3]
    return np.ascontiguousarray(np.moveaxis(image, 0, -1)).astype(np.uint8, copy=False)
