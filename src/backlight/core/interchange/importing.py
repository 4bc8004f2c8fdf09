"""A run from relevance that exists already: the same files, records and project as an attributed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from backlight.core.coverage import Coverage
from backlight.core.errors import FormatError
from backlight.core.interchange.arrays import ArrayFile, Samples
from backlight.core.project import LabelMap
from backlight.core.run.attributing import write_request
from backlight.core.run.explaining import Rows
from backlight.core.run.finishing import Finished, finish
from backlight.core.run.identity import check_same_run, digest, versions
from backlight.core.run.layout import Layout, locked, sweep
from backlight.core.run.reading import Batch
from backlight.core.run.settings import Output
from backlight.core.run.writing import Draft, checksum
from backlight.core.sources.data import Picture, Source
from backlight.core.store import channels_first, disk_errors, displayable

STEP = 256
"""Samples read at a time."""


@final
@dataclass(frozen=True)
class Foreign:
    """Relevance of another tool with its samples.

    relevance: one entry a row. index: dataset index of each row. inputs, labels: one entry a sample.
    """

    relevance: Samples
    inputs: Samples
    labels: NDArray[np.int64]
    index: NDArray[np.int64]
    prediction: Samples | None
    train: NDArray[np.bool_] | None


@final
class ForeignSource(Source):
    """The samples of a foreign file."""

    def __init__(self, foreign: Foreign, name: str, classes: Sequence[str]) -> None:
        self._foreign, self.name, self.classes = foreign, name, classes
        rows = dict(zip(foreign.index.tolist(), range(len(foreign.index)), strict=True))
        self._train = (
            {} if foreign.train is None else {i: bool(foreign.train[row]) for i, row in rows.items()}
        )

    def __len__(self) -> int:
        return len(self._foreign.inputs)

    def picture(self, number: int) -> Picture:
        """Return one input as a picture."""
        return displayable(self._foreign.inputs.part([number])[0])

    def label(self, number: int) -> int:
        """Return its label."""
        return int(self._foreign.labels[number])

    def training(self, number: int) -> bool | None:
        """Return the recorded split; False for samples without relevance."""
        return self._train.get(number, False) if self._train else None


def import_run(
    root: Path,
    relevance: Path,
    *,
    inputs: Path | None = None,
    labels: Path | None = None,
    label_map: Path | None = None,
    name: str | None = None,
    model: str = "imported",
    method: str = "imported",
    target: str = "true",
) -> Finished:
    """Make a run directory of existing relevance; everything is checked before anything is written.

    relevance: a ViRelAy-layout HDF5 file, .npy, .npz or .pt. inputs, labels: files of the samples, where the
    first does not hold them. label_map: JSON names of the classes.
    """
    paths = [path for path in (relevance, inputs, labels, label_map) if path is not None]
    foreign = read_foreign(relevance, inputs, labels)
    outputs = 0 if foreign.prediction is None else np.size(foreign.prediction.part([0])[0])
    count = max(int(foreign.labels.max(initial=0)) + 1, outputs)
    known = None if label_map is None else LabelMap.read(label_map)
    names = [known.label(i).name if known else f"class {i}" for i in range(max(count, len(known or ())))]
    unlabelled = foreign.labels < 0
    if unlabelled.any():
        foreign = replace(foreign, labels=np.where(unlabelled, len(names), foreign.labels))
        names.append("unlabelled")
    source = ForeignSource(foreign, (inputs or relevance).stem, names)
    layout = Layout(root, len(source), 4096)
    identity: dict[str, Any] = {
        "model": model,
        "imported": {path.name: checksum(path) for path in paths},
        "data": source.name,
        "samples": len(source),
        "classes": names,
        "target": target,
        "shard_size": layout.shard_size,
        "versions": versions(),
    }
    check_same_run(root, identity)
    with disk_errors(root), locked(root):
        check_same_run(root, identity)
        sweep(root)
        write_request(root, identity, None)
        for shard in range(len(layout)):
            _write(layout, shard, foreign, source, digest(identity))
        return finish(layout, identity, name or root.resolve().name, method, 1.0)


def read_foreign(relevance: Path, inputs: Path | None, labels: Path | None) -> Foreign:
    """Find in the files what belongs together; FormatError naming what is missing or does not fit."""
    main = ArrayFile(relevance)
    of_inputs = main if inputs is None else ArrayFile(inputs)
    found = main.get("relevance", alone=True)
    pictures = of_inputs.get("inputs", alone=inputs is not None)
    if found is None:
        raise FormatError(
            f"{relevance} holds no relevance; expected an array named 'attribution' or 'relevance'"
        )
    if not len(found):
        raise FormatError(f"{relevance} is empty: there is nothing to import")
    if pictures is None:
        raise FormatError(f"{inputs or relevance} holds no inputs; give a file of them with --inputs")
    total = len(pictures)
    index = main.get("index")
    rows = np.arange(len(found)) if index is None else index.all().astype(np.int64).reshape(-1)
    if (
        len(rows) != len(found)
        or len(set(rows.tolist())) != len(rows)
        or not 0 <= rows.min() <= rows.max() < total
    ):
        raise FormatError(
            f"{relevance}: {len(found)} rows of relevance do not fit the {total} inputs by their index"
        )
    truth = _labels(main, of_inputs, labels, rows, total)
    _check_shapes(found, pictures)
    train = main.get("train")
    split = None if train is None else train.all().astype(bool).reshape(-1)
    return Foreign(found, pictures, truth, rows, main.get("prediction"), split)


def _labels(
    main: ArrayFile, of_inputs: ArrayFile, labels: Path | None, rows: NDArray[np.int64], total: int
) -> NDArray[np.int64]:
    """Return the class of every sample, -1 where labels came for those with relevance alone."""
    given = ArrayFile(labels).get("labels", alone=True) if labels else of_inputs.get("labels")
    given = given or main.get("labels")
    if given is None:
        raise FormatError(f"{of_inputs.path} holds no labels; give a file of them with --labels")
    values = given.all()
    values = values.argmax(1) if values.ndim == 2 and values.shape[1] > 1 else values.reshape(-1)
    if not np.isin(values, np.arange(2**16)).all():
        raise FormatError(f"{given.place} has labels that are no whole numbers from 0 to 65535")
    if len(values) == total:
        return values.astype(np.int64)
    if len(values) != len(rows):
        raise FormatError(f"{given.place} has {len(values)} labels, expected {total}")
    spread = np.full(total, -1)
    spread[rows] = values
    return spread


def _check_shapes(relevance: Samples, inputs: Samples) -> None:
    one, picture = channels_first(relevance.part([0])[0]), displayable(inputs.part([0])[0])
    if one.shape[1:] != picture.shape[:2]:
        raise FormatError(
            f"{relevance.place} has maps of {one.shape[1:]}, but the inputs have {picture.shape[:2]}"
        )


def _write(layout: Layout, shard: int, foreign: Foreign, source: Source, run: str) -> None:
    numbers = layout.numbers(shard)
    row_of = dict(zip(foreign.index.tolist(), range(len(foreign.index)), strict=True))
    draft = Draft(layout, shard, Output(), source, run)
    try:
        for start in range(0, len(numbers), STEP):
            part = np.array(numbers[start : start + STEP])
            pictures = np.stack([source.picture(int(number)) for number in part])
            ones = np.ones(len(part), dtype=bool)
            batch = Batch(part, pictures, ones, torch.zeros(0), foreign.labels[part], {})
            draft.add(batch, _rows(foreign, [int(n) for n in part if int(n) in row_of], row_of))
        draft.finish()
    except BaseException as error:
        draft.abandon(error)
        raise


def _rows(foreign: Foreign, numbers: Sequence[int], row_of: dict[int, int]) -> Rows:
    if not numbers:
        return Rows({}, {}, Coverage(()))
    rows = [row_of[number] for number in numbers]
    with np.errstate(over="ignore"):  # found below
        maps = np.stack([channels_first(item) for item in foreign.relevance.part(rows)]).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "attribution": maps,
        "index": np.array(numbers, dtype=np.uint32),
        "label": foreign.labels[numbers].astype(np.uint16),
    }
    if foreign.prediction is not None:
        arrays["prediction"] = foreign.prediction.part(rows).astype(np.float32).reshape(len(rows), -1)
    finite = np.asarray(np.isfinite(maps).all((1, 2, 3)))
    reason = "relevance is not finite in float32"
    failures = {number: reason for number, fits in zip(numbers, finite, strict=True) if not fits}
    return Rows({key: values[finite] for key, values in arrays.items()}, failures, Coverage(()))
