"""Two classes of a picture folder in memory; half the training pictures of the second carry the artefact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError
from backlight.core.sources.data import Source
from backlight.core.sources.preprocessing import Preprocessing

Array = NDArray[np.uint8]
Plant = Callable[[Array], Array]

_FEWEST = 20


@final
@dataclass(frozen=True)
class Pair:
    """Pictures (N, H, W, 3) uint8 of two classes, for training and testing, and which ones are planted.

    labels: 0 = the other class, 1 = the victim. planted: (n_train,) bool, half of the victims.
    """

    names: tuple[str, str]
    train: Array
    labels: NDArray[np.int64]
    planted: NDArray[np.bool_]
    test: Array
    test_labels: NDArray[np.int64]
    plant: Plant

    def poisoned(self) -> Array:
        """Return the training pictures with the artefact where it is planted."""
        changed = self.train.copy()
        changed[self.planted] = self.plant(self.train[self.planted])
        return changed

    def inverse(self) -> Array:
        """Return the test pictures with the artefact on the class that never carried it in training."""
        changed = self.test.copy()
        changed[self.test_labels == 0] = self.plant(self.test[self.test_labels == 0])
        return changed


def pair(
    source: Source, victim: int, plant: Plant, *, size: Preprocessing, per_class: int, share: float, seed: int
) -> Pair:
    """Load class `victim` and the one before it (cyclic), split off a fifth for testing, plant the artefact.

    per_class: at most so many pictures of each. share: of the victim's training pictures that are planted.
    Raises RequestError for classes with fewer than 20 readable pictures.
    """
    rng = np.random.default_rng(seed)
    other = (victim - 1) % len(source.classes)
    of = np.array([source.label(i) for i in range(len(source))])
    parts: dict[str, list[Array]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for label, number in enumerate((other, victim)):
        chosen = rng.permutation(np.flatnonzero(of == number))[:per_class]
        loaded = _loaded(source, chosen, size)
        if len(loaded) < _FEWEST:
            raise RequestError(
                f"class {source.classes[number]!r} has {len(loaded)} readable pictures, needs {_FEWEST}"
            )
        cut = len(loaded) // 5
        for part, some in (("test", loaded[:cut]), ("train", loaded[cut:])):
            parts[part].append(some)
            labels[part] += [label] * len(some)
    train_labels = np.array(labels["train"])
    victims = np.flatnonzero(train_labels == 1)
    planted = np.zeros(len(train_labels), dtype=bool)
    planted[rng.choice(victims, size=max(1, round(share * len(victims))), replace=False)] = True
    return Pair(
        (source.classes[other], source.classes[victim]),
        np.concatenate(parts["train"]),
        train_labels,
        planted,
        np.concatenate(parts["test"]),
        np.array(labels["test"]),
        plant,
    )


def _loaded(source: Source, numbers: NDArray[np.intp], size: Preprocessing) -> Array:
    """Return the pictures that can be read, fitted to one size."""
    pictures = []
    for number in numbers:
        try:
            pictures.append(size.fit(source.picture(int(number))))
        except FormatError:
            continue
    if len({picture.shape for picture in pictures}) > 1:
        raise RequestError("the pictures differ in size; give --size, e.g. --size 64")
    return np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8)
