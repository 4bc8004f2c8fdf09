"""A part of a dataset: by class, by number, at most so many of a class, by split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.sources.data import Picture, Source


@final
class Subset(Source):
    """Chosen samples of another source, in the order given; origins stay those of the whole."""

    def __init__(self, whole: Source, numbers: Sequence[int]) -> None:
        self.whole, self.name, self.classes = whole, whole.name, whole.classes
        self._numbers = list(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def picture(self, number: int) -> Picture:
        """Read the sample of the whole."""
        return self.whole.picture(self._numbers[number])

    def label(self, number: int) -> int:
        """Return its label."""
        return self.whole.label(self._numbers[number])

    def origin(self, number: int) -> str:
        """Return where it comes from."""
        return self.whole.origin(self._numbers[number])

    def training(self, number: int) -> bool | None:
        """Say whether it belongs to the training split."""
        return self.whole.training(self._numbers[number])

    def notes(self) -> Sequence[str]:
        """Return what is to be known of the whole."""
        return self.whole.notes()


def chosen(
    source: Source,
    *,
    classes: Sequence[str] = (),
    index: Path | None = None,
    per_class: int | None = None,
    split: str | None = None,
    seed: int = 0,
) -> Source:
    """Return the source itself or a part of it.

    classes: names to keep. index: file of numbers to keep (.npy, .json, or one a line). split: "train" or
    "test". per_class: at most so many of each class, drawn with `seed`. The order of the whole is kept.
    """
    numbers = list(range(len(source)))
    if index is not None:
        numbers = read_index(index, len(source))
    if split is not None:
        numbers = _of_split(source, numbers, split)
    if classes:
        numbers = _of_classes(source, numbers, classes)
    if per_class is not None:
        numbers = _drawn(source, numbers, per_class, seed)
    if not numbers:
        raise RequestError(f"no sample of data {source.name!r} is left by the choice of samples")
    return source if len(numbers) == len(source) else Subset(source, numbers)


def read_index(path: Path, total: int) -> list[int]:
    """Read ascending, distinct sample numbers below `total` from a file."""
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False).reshape(-1).tolist()
        else:
            text = path.read_text(encoding="utf-8")
            found = json.loads(text) if path.suffix == ".json" else text.split()
        numbers = sorted({int(number) for number in found})
    except (OSError, ValueError, TypeError) as error:
        raise FormatError(f"index file {path} cannot be read as sample numbers: {error}") from error
    if numbers and not 0 <= numbers[0] <= numbers[-1] < total:
        wrong = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise RequestError(f"index file {path} names sample {wrong}; the data has 0 to {total - 1}")
    return numbers


def _of_split(source: Source, numbers: Sequence[int], split: str) -> list[int]:
    if split not in ("train", "test"):
        raise RequestError(unknown("split", split, ("train", "test")))
    wanted = split == "train"
    told = [(number, source.training(number)) for number in numbers]
    if any(training is None for _, training in told):
        raise RequestError(f"data {source.name!r} does not say which samples belong to which split")
    return [number for number, training in told if training == wanted]


def _of_classes(source: Source, numbers: Sequence[int], classes: Sequence[str]) -> list[int]:
    names = [str(name) for name in source.classes]
    for name in classes:
        if name not in names:
            raise RequestError(f"data {source.name!r} has {unknown('class', name, names)}")
    kept = {names.index(name) for name in classes}
    return [number for number in numbers if source.label(number) in kept]


def _drawn(source: Source, numbers: Sequence[int], per_class: int, seed: int) -> list[int]:
    if per_class < 1:
        raise RequestError(f"at most {per_class} samples per class leaves none; expected 1 or more")
    order = np.random.default_rng(seed).permutation(len(numbers))
    counts: dict[int, int] = {}
    kept = []
    for position in order:
        label = source.label(numbers[position])
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= per_class:
            kept.append(numbers[position])
    return sorted(kept)
