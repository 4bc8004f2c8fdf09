"""Where the files of a run lie, and the lock that keeps a second writer out."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from backlight.core.errors import RequestError

RUN_FILE = "run.json"
CONFIG_FILE = "run.toml"
LOCK_FILE = ".lock"
SHARD_FOLDERS = ("data", "attribution")


@final
@dataclass(frozen=True)
class Layout:
    """The files of a run of `samples` samples cut into shards of `shard_size`."""

    root: Path
    samples: int
    shard_size: int

    def __len__(self) -> int:
        return -(-self.samples // self.shard_size)

    def numbers(self, shard: int) -> range:
        """Return the dataset indices of one shard."""
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.samples))

    def shard(self, kind: str, shard: int) -> Path:
        """Return the file of one shard; kind is "data" or "attribution"."""
        return self.root / kind / f"shard-{shard:05d}.h5"

    def record(self, shard: int) -> Path:
        """Return the file that says that a shard is complete."""
        return self.root / "records" / f"shard-{shard:05d}.json"


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Make and hold the run directory; raise RequestError when another process holds it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"folder {root} cannot be made: {error.strerror}") from error
    with (root / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RequestError(
                f"another process is writing {root}; wait for it or give another folder"
            ) from None
        yield


def sweep(root: Path) -> None:
    """Remove what a killed writer left half-written; only the holder of the lock may."""
    for part in root.rglob(".*.part"):
        part.unlink(missing_ok=True)
