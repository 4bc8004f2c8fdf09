"""Inputs in an HDF5 file, by dataset index."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backlight.core.projects.files import Files
from backlight.core.store import Rows, class_indices, displayable


class Hdf5Dataset:
    """Inputs and labels of a project's samples, by dataset index."""

    def __init__(self, files: Files, path: Path, name: str) -> None:
        self._files, self._path, self.name = files, path, name

    @property
    def _data(self) -> Rows:
        return self._files.rows(self._path, "data")

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64 class index of every sample; the first set class of an n-hot label."""
        return class_indices(self._files.rows(self._path, "label"))

    def __len__(self) -> int:
        return len(self._data)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the input picture of one sample, (H, W, 3) uint8."""
        return displayable(self._data[index])

    def file_name(self, index: int) -> str:
        """Return where the sample came from: its recorded source file, its key, or its number."""
        file = self._files.get(self._path)
        if "source" in file:
            return str(file["source"].asstr()[index])
        return self._data.keys[index] if self._data.keys is not None else f"{index}"
