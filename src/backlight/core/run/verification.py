"""Whether a run on disk is still what was written: shards against records, the config against run.json."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import h5py

from backlight.core.errors import BacklightError, FormatError
from backlight.core.project import ATTRIBUTION_FILE, DATA_FILE, PROJECT_FILE, open_project
from backlight.core.run.identity import digest, digest_json, read_identity
from backlight.core.run.layout import CONFIG_FILE, RUN_FILE, SHARD_FOLDERS, Layout
from backlight.core.run.writing import Record, checksum, datasets, read_record
from backlight.core.store import open_hdf5


@final
@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a run: the file, relative to the run, and what about it."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def verify(root: Path, progress: Callable[[int, int, str], None] | None = None) -> list[Problem]:
    """Read a whole run and return what is wrong with it, in order; [] when it is complete and unchanged.

    Raises RequestError where there is no run, FormatError where run.json cannot be read.
    """
    identity = read_identity(root)
    try:
        layout = Layout(root, int(identity["samples"]), int(identity["shard_size"]))
        run = digest(identity)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{root / RUN_FILE} lacks what a run needs ({error!r})") from error
    problems = list(_config(root, identity))
    for shard in range(len(layout)):
        problems += _shard(layout, shard, run)
        if progress:
            progress(shard + 1, len(layout), f"shard {shard + 1} of {len(layout)}")
    problems += _strangers(layout)
    if not any(p.file.startswith(("records", *SHARD_FOLDERS)) for p in problems):
        problems += _joined(layout)
    return problems


def _config(root: Path, identity: dict[str, Any]) -> Iterator[Problem]:
    """Compare the recorded config with its digest, and with the run.toml beside it."""
    config = identity.get("config")
    if config is None:
        return
    if identity.get("config_digest") != digest_json(config):
        yield Problem(RUN_FILE, "config does not match config_digest")
    path = root / CONFIG_FILE
    if not path.is_file():
        yield Problem(CONFIG_FILE, "missing")
        return
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        yield Problem(CONFIG_FILE, f"not valid TOML ({error})")
        return
    changed = sorted(k for k in config.keys() | found.keys() if config.get(k) != found.get(k))
    if changed:
        yield Problem(CONFIG_FILE, f"differs from {RUN_FILE} in {', '.join(changed)}")


def _shard(layout: Layout, shard: int, run: str) -> list[Problem]:
    place = layout.record(shard).relative_to(layout.root).as_posix()
    try:
        record = read_record(layout, shard)
    except FormatError as error:
        return [Problem(place, str(error))]
    if record is None:
        return [Problem(place, "missing: this shard was not finished")]
    numbers = layout.numbers(shard)
    if record.run != run:
        return [Problem(place, "belongs to another run than run.json describes")]
    if record.samples != (numbers.start, numbers.stop):
        return [Problem(place, f"is of samples {record.samples}, expected {(numbers.start, numbers.stop)}")]
    names = [layout.shard(kind, shard).relative_to(layout.root).as_posix() for kind in SHARD_FOLDERS]
    return [problem for name in names for problem in _file(layout.root, name, record)]


def _file(root: Path, name: str, record: Record) -> Iterator[Problem]:
    path, facts = root / name, record.files.get(name)
    if facts is None:
        yield Problem(name, "not in its record")
    elif not path.is_file():
        yield Problem(name, "missing")
    elif path.stat().st_size != facts.get("bytes"):
        kind = "truncated" if path.stat().st_size < int(facts.get("bytes", 0)) else "changed"
        yield Problem(name, f"{kind}: {path.stat().st_size} bytes, {facts.get('bytes')} were written")
    elif checksum(path)["sha256"] != facts.get("sha256"):
        yield Problem(name, "changed: its checksum is not the one recorded")


def _strangers(layout: Layout) -> Iterator[Problem]:
    """Name shards that the run does not have."""
    for kind in SHARD_FOLDERS:
        own = {layout.shard(kind, shard) for shard in range(len(layout))}
        for path in sorted((layout.root / kind).glob("*.h5")):
            if path not in own:
                yield Problem(path.relative_to(layout.root).as_posix(), "is no shard of this run")


def _joined(layout: Layout) -> Iterator[Problem]:
    """Check the files that join the shards, and the project over them."""
    for kind, name in zip(SHARD_FOLDERS, (DATA_FILE, ATTRIBUTION_FILE), strict=True):
        try:
            with open_hdf5(layout.root / name) as file:
                yield from (Problem(name, what) for what in _views(layout, kind, datasets(file)))
        except FormatError as error:
            yield Problem(name, str(error))
    try:
        with open_project(layout.root):
            pass
    except BacklightError as error:
        yield Problem(PROJECT_FILE, str(error))


def _views(layout: Layout, kind: str, joined: dict[str, h5py.Dataset]) -> Iterator[str]:
    rows: dict[str, int] = {}
    for shard in range(len(layout)):
        with h5py.File(layout.shard(kind, shard), "r") as file:
            for key, item in datasets(file).items():
                rows[key] = rows.get(key, 0) + int(item.shape[0])
    for key in sorted(rows.keys() | joined.keys()):
        if key not in joined or key not in rows:
            yield f"{key!r} is {'missing' if key in rows else 'in no shard'}"
        elif joined[key].shape[0] != rows[key]:
            yield f"{key!r} has {joined[key].shape[0]} rows, its shards have {rows[key]}"
