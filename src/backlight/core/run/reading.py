"""Batches of pictures, read by threads ahead of the model; never more than a few at a time."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from backlight.core.errors import FormatError, RequestError
from backlight.core.run.settings import Settings
from backlight.core.sources.data import Picture, Source
from backlight.core.threads import ahead


@final
@dataclass(frozen=True)
class Batch:
    """Consecutive samples of a dataset.

    numbers: (n,) dataset indices. pictures: (n, H, W, 3) uint8, black where unreadable. readable: (n,) bool.
    inputs: (r, 3, H, W) normalised, of the readable ones. labels: (n,). failures: reasons by dataset index.
    """

    numbers: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    readable: NDArray[np.bool_]
    inputs: Tensor
    labels: NDArray[np.int64]
    failures: Mapping[int, str]


def read_picture(source: Source, settings: Settings, number: int) -> Picture | str:
    """Return one fitted picture, or why there is none."""
    try:
        return settings.preprocessing.fit(source.picture(number))
    except FormatError as error:
        return str(error)
    except Exception as error:  # a dataset's own code may raise anything; it costs one sample
        return f"reading raised {type(error).__name__}: {error}"


def read_batch(source: Source, settings: Settings, numbers: range, shape: tuple[int, ...]) -> Batch:
    """Read consecutive samples whose fitted pictures have the given shape (H, W, 3)."""
    pictures = np.zeros((len(numbers), *shape), np.uint8)
    readable = np.zeros(len(numbers), dtype=bool)
    failures: dict[int, str] = {}
    for row, number in enumerate(numbers):
        found = read_picture(source, settings, number)
        if isinstance(found, str):
            failures[number] = found
            continue
        if found.shape != shape:
            sizes = f"{shape[0]}x{shape[1]} and {found.shape[0]}x{found.shape[1]}"
            raise RequestError(f"pictures have at least 2 sizes, {sizes}; give one with --size")
        pictures[row], readable[row] = found, True
    labels = np.array([source.label(number) for number in numbers], dtype=np.int64)
    inputs = settings.preprocessing.inputs(pictures[readable])
    return Batch(np.array(numbers), pictures, readable, inputs, labels, failures)


def read_ahead(
    source: Source, settings: Settings, ranges: Sequence[range], shape: tuple[int, ...]
) -> Generator[Batch]:
    """Yield the batch of every range in order, while threads read those that follow."""
    return ahead(partial(read_batch, source, settings, shape=shape), ranges, settings.decoders)
