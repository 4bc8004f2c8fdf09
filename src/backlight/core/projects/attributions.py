"""Relevance of a project's samples, and what the model said of them, by dataset index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.projects.files import Files
from backlight.core.store import channels_first

Array = NDArray[Any]


class Attributions:
    """Relevance and predictions, looked up by dataset index over one or more files."""

    def __init__(self, files: Files, paths: Sequence[Path], method: str) -> None:
        self._files, self.paths, self.method = files, tuple(paths), method

    @cached_property
    def _where(self) -> tuple[Array, Array, Array]:
        """Ascending dataset indices, (M,), with the file and the row of each; the first file wins."""
        nothing = np.zeros(0, np.int64)
        found = [np.asarray(self._index(path), dtype=np.int64) for path in self.paths] or [nothing]
        if len(found) == 1 and (np.diff(found[0]) > 0).all():
            return found[0], np.zeros(len(found[0]), np.int32), np.arange(len(found[0]))
        indices, first = np.unique(np.concatenate(found), return_index=True)
        numbers = np.repeat(np.arange(len(found), dtype=np.int32), [len(index) for index in found])
        rows = np.concatenate([np.arange(len(index)) for index in found])
        return indices, numbers[first], rows[first]

    def _index(self, path: Path) -> Array:
        rows = len(self._files.rows(path, "attribution"))
        if "index" not in self._files.get(path):
            return np.arange(rows)
        index: Array = self._files.rows(path, "index").array()
        if index.shape != (rows,):
            raise FormatError(f"{path}: 'index' has shape {index.shape}, expected ({rows},)")
        return index

    @cached_property
    def indices(self) -> Array:
        """(M,) int64 ascending dataset indices that have an attribution."""
        return self._where[0]

    def holds(self, indices: Array) -> NDArray[np.bool_]:
        """Return which dataset indices have an attribution, (n,) bool."""
        return np.isin(indices, self.indices)

    def _find(self, indices: Array) -> tuple[Array, Array]:
        """Return the file and the row of each of some dataset indices."""
        known, numbers, rows = self._where
        asked = np.asarray(indices, dtype=np.int64)
        places = np.minimum(np.searchsorted(known, asked), max(0, len(known) - 1))
        missing = known[places] != asked if len(known) else np.ones(len(asked), bool)
        if missing.any():
            files = ", ".join(map(str, self.paths))
            raise FormatError(f"no attribution of sample {asked[missing][0]} in {files}")
        return numbers[places], rows[places]

    def relevance(self, index: int) -> Array:
        """Return the raw relevance of one sample, (C, H, W) float32."""
        (number,), (row,) = self._find(np.array([index]))
        rows = self._files.rows(self.paths[number], "attribution")
        return channels_first(rows[int(row)]).astype(np.float32, copy=False)

    def relevances(self, indices: Array) -> Array:
        """Return the raw relevance of many samples of one size, (n, C, H, W) float32, in that order."""
        arrays = [channels_first(array) for array in self._take("attribution", indices)]
        shapes = {a.shape for a in arrays}
        if len(shapes) > 1:
            raise FormatError(
                f"attributions have {len(shapes)} different shapes {sorted(shapes)[:3]}; expected one size"
            )
        if not arrays:
            return np.zeros((0, 1, 1, 1), np.float32)
        return np.stack(arrays).astype(np.float32, copy=False)

    def predictions(self, indices: Array) -> Array:
        """Return the model's output of many samples, (n, classes) float32; (n, 0) where none was recorded."""
        if not len(indices) or not self._recorded("prediction", indices):
            return np.zeros((len(indices), 0), np.float32)
        parts = self._by_file(indices)
        outputs = [
            self._files.rows(path, "prediction").stacked(rows).reshape(len(rows), -1)
            for path, _, rows in parts
        ]
        found = np.empty((len(indices), outputs[0].shape[1]), np.float32)
        for (_, positions, _), output in zip(parts, outputs, strict=True):
            found[positions] = output
        return found

    @property
    def layers(self) -> list[str]:
        """Names of the layers whose relevance was kept in every file."""
        groups = [self._files.get(path).get("layer", {}) for path in self.paths]
        return sorted(set.intersection(*(set(group) for group in groups))) if groups else []

    def layer(self, name: str, indices: Array) -> Array:
        """Return the relevance of a layer, (n, channels) or (n, *layer) float32, in the order asked for."""
        if name not in self.layers:
            raise RequestError(f"the run has {unknown('layer', name, self.layers)}")
        return np.stack(self._take(f"layer/{name}", indices)).astype(np.float32)

    def training(self, indices: Array) -> NDArray[np.bool_] | None:
        """Return which samples belong to the training split, (n,) bool, or None where it was not recorded."""
        if not self._recorded("train", indices):
            return None
        found = np.zeros(len(indices), dtype=bool)
        for path, positions, rows in self._by_file(indices):
            found[positions] = self._files.rows(path, "train").array().astype(bool)[rows]
        return found

    def _recorded(self, key: str, indices: Array) -> bool:
        return all(key in self._files.get(path) for path, _, _ in self._by_file(indices))

    def _take(self, key: str, indices: Array) -> list[Array]:
        """Return one item of many samples, in the order asked for."""
        taken: dict[int, Array] = {}
        for path, positions, rows in self._by_file(indices):
            taken |= zip(positions.tolist(), self._files.rows(path, key).take(rows), strict=True)
        return [taken[position] for position in range(len(indices))]

    def _by_file(self, indices: Array) -> list[tuple[Path, Array, Array]]:
        """Return for each file that is needed which of `indices` it holds, and in which rows."""
        numbers, rows = self._find(indices)
        groups = [(number, np.flatnonzero(numbers == number)) for number in np.unique(numbers).tolist()]
        return [(self.paths[number], positions, rows[positions]) for number, positions in groups]
