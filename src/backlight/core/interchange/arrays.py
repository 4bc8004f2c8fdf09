"""Arrays of samples in files of other tools: HDF5 in both forms, .npy, .npz, and tensors saved by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, first_line
from backlight.core.store import Rows, open_hdf5

NAMES: Mapping[str, tuple[str, ...]] = {
    "relevance": ("attribution", "relevance", "attributions", "relevances"),
    "inputs": ("data", "inputs", "input", "images"),
    "labels": ("label", "labels", "target", "targets"),
    "prediction": ("prediction", "predictions", "output", "outputs", "logits"),
    "index": ("index", "indices"),
    "train": ("train",),
}
"""What an import wants -> names under which a file may hold it."""


@final
class ArrayFile:
    """Named arrays of one file; those in HDF5 and .npy are read in parts, when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays = _opened(path)

    def get(self, what: str, alone: bool = False) -> Samples | None:
        """Return what the file holds under one of the names of `what`.

        alone: whether the only array of a file counts, whatever its name.
        """
        for name in NAMES[what]:
            if name in self._arrays:
                return Samples(self._arrays[name], f"{self.path}: {name!r}")
        if alone and len(self._arrays) == 1:
            return Samples(next(iter(self._arrays.values())), str(self.path))
        return None


@final
class Samples:
    """An array by sample, or one array a sample."""

    def __init__(self, values: Any, place: str) -> None:
        self._values, self.place = values, place

    def __len__(self) -> int:
        return len(self._values)

    def part(self, rows: Sequence[int] | NDArray[np.integer]) -> NDArray[Any]:
        """Return some samples as one array (n, …); FormatError when they have several shapes."""
        if isinstance(self._values, Rows):
            found = self._values.take(np.asarray(rows, dtype=np.int64))
        else:
            found = [np.asarray(self._values[int(row)]) for row in rows]
        shapes = {item.shape for item in found}
        if len(shapes) > 1:
            raise FormatError(
                f"{self.place} has samples of {len(shapes)} shapes {sorted(shapes)[:2]}, expected one"
            )
        return np.stack(found)

    def all(self) -> NDArray[Any]:
        """Return every sample."""
        return self.part(range(len(self)))


def _opened(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FormatError(f"{path} does not exist; expected .h5, .npy, .npz or .pt")
    suffix = path.suffix.lower()
    try:
        if suffix in (".h5", ".hdf5"):
            file = open_hdf5(path)
            return {key: Rows(file, key) for key in file}
        if suffix == ".npy":
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        if suffix in (".pt", ".pth"):
            return _tensors(path)
    except FormatError:
        raise
    except Exception as error:  # numpy, zipfile and torch raise what they like on foreign bytes
        raise FormatError(f"{path} cannot be read as arrays: {first_line(error)}") from error
    raise FormatError(f"{path} is of no known kind; expected .h5, .npy, .npz or .pt")


def _tensors(path: Path) -> dict[str, Any]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    named = found if isinstance(found, Mapping) else {"": found}
    if not all(isinstance(value, torch.Tensor) for value in named.values()):
        raise FormatError(f"{path} holds more than tensors; expected a tensor or a mapping of tensors")
    return {
        str(key): value.detach().float().numpy() if value.dtype == torch.bfloat16 else value.detach().numpy()
        for key, value in named.items()
    }
