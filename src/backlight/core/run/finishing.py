"""The end of a run: one virtual dataset over all shards, and the project that every reader opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import h5py
import numpy as np

from backlight.core.errors import BacklightError
from backlight.core.project import (
    ATTRIBUTION_FILE,
    DATA_FILE,
    PROJECT_FILE,
    Label,
    LabelMap,
    open_project,
    write_project,
)
from backlight.core.run.layout import RUN_FILE, Layout
from backlight.core.run.writing import datasets, read_record
from backlight.core.store import atomic_hdf5


@final
@dataclass(frozen=True)
class Finished:
    """A finished run: how many samples were attributed, and which failed, with the reason."""

    root: Path
    attributed: int
    failures: Mapping[int, str]
    conservation_error: float
    """Median of |Σ relevance − output| / |output| over the samples; NaN for a plain gradient."""


def finish(layout: Layout, identity: Mapping[str, Any], name: str, method: str, limit: float) -> Finished:
    """Join the shards of a run, all of which are there, and write its project.

    limit: share of samples that may have failed. Raises BacklightError when more did.
    """
    failures: dict[int, str] = {}
    for shard in range(len(layout)):
        record = read_record(layout, shard)
        assert record is not None
        failures.update(record.failures)
    check_limit(failures, layout.samples, limit)
    join(layout, "data", DATA_FILE)
    join(layout, "attribution", ATTRIBUTION_FILE)
    with h5py.File(layout.root / ATTRIBUTION_FILE, "r") as file:
        errors = file["conservation_error"][:] if "conservation_error" in file else ()
        height, width = file["attribution"].shape[-2:]
    error = float(np.median(errors)) if len(errors) else float("nan")
    write_project(
        layout.root,
        name=name,
        model=str(identity["model"]),
        dataset=str(identity["data"]),
        labels=LabelMap(Label(number, str(text)) for number, text in enumerate(identity["classes"])),
        method=method,
        strategy=f"{identity['target']}_label",
        image_size=(int(height), int(width)),
        analyses=_analyses(layout.root),
        extra={"run": RUN_FILE, "conservation_error": error},
    )
    return Finished(layout.root, layout.samples - len(failures), failures, error)


def check_limit(failures: Mapping[int, str], samples: int, limit: float) -> None:
    """Raise BacklightError when more than a share `limit` of the samples failed, or all of them."""
    if len(failures) > limit * samples or len(failures) == samples:
        raise BacklightError(
            f"{len(failures)} of {samples} samples could not be read or explained, more than the limit of "
            f"{limit:.0%}: {next(iter(failures.values()))}"
        )


def join(layout: Layout, kind: str, target: str) -> None:
    """Write one file whose datasets are views over all shards, by relative path."""
    layouts: dict[str, list[tuple[str, tuple[int, ...], Any]]] = {}
    for shard in range(len(layout)):
        path = layout.shard(kind, shard)
        with h5py.File(path, "r") as file:
            for key, item in datasets(file).items():
                place = path.relative_to(layout.root).as_posix()
                layouts.setdefault(key, []).append((place, item.shape, item.dtype))
    with atomic_hdf5(layout.root / target) as file:
        for key, parts in layouts.items():
            total = sum(shape[0] for _, shape, _ in parts)
            virtual = h5py.VirtualLayout(shape=(total, *parts[0][1][1:]), dtype=parts[0][2])
            start = 0
            for name, shape, _ in parts:
                if shape[0]:
                    virtual[start : start + shape[0]] = h5py.VirtualSource(name, key, shape=shape)
                start += shape[0]
            file.create_virtual_dataset(key, virtual)


def _analyses(root: Path) -> Sequence[str]:
    """Return the analyses of an earlier finish, which running the same command again must not lose."""
    if not (root / PROJECT_FILE).is_file():
        return ()
    with open_project(root) as project:
        return tuple(project.analyses)
