"""Inputs in a folder of pictures, as in ViRelAy's projects: sizes fitted, labels read off the path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backlight.core.errors import FormatError, unknown
from backlight.core.projects.confine import Roots
from backlight.core.projects.label_map import LabelMap
from backlight.core.sources.data import read_picture

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
DOWN = ("none", "center_crop", "resize")
PADDING: dict[str, dict[str, Any]] = {
    "fill_zeros": {"mode": "constant", "constant_values": 0},
    "fill_ones": {"mode": "constant", "constant_values": 255},
    "edge_repeat": {"mode": "edge"},
    "mirror_edge": {"mode": "symmetric"},
    "wrap_around": {"mode": "wrap"},
}
UP = ("none", "resize", *PADDING)
KEYS = (
    "label_index_regex",
    "label_word_net_id_regex",
    "input_width",
    "input_height",
    "down_sampling_method",
    "up_sampling_method",
)


class ImageDirectory:
    """Pictures below a folder, ordered by the bytes of their path."""

    def __init__(
        self, folder: Path, name: str, entry: Mapping[str, Any], labels: LabelMap, roots: Roots, file: Path
    ) -> None:
        self.name, self._folder, self._labels, self._roots, self._file = name, folder, labels, roots, file
        missing = [key for key in KEYS if key not in entry]
        if missing:
            raise FormatError(f"{file}: dataset lacks {', '.join(missing)}, which image_directory needs")
        self._by_index, self._pattern = self._regex(entry)
        self._size = tuple(self._whole(entry, key) for key in ("input_height", "input_width"))
        self._down = self._one_of(entry, "down_sampling_method", DOWN)
        self._up = self._one_of(entry, "up_sampling_method", UP)
        if not folder.is_dir():
            raise FormatError(f"{file}: dataset.path {folder} is no folder")

    @cached_property
    def paths(self) -> list[Path]:
        """Every picture below the folder."""
        found = [p for p in self._folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
        return sorted(found, key=lambda path: path.relative_to(self._folder).as_posix().encode())

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) class index of every picture, read off its path."""
        return np.array([self._label(path) for path in self.paths], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return one picture, (H, W, 3) uint8, fitted to the model's input size."""
        path = self.paths[index]
        if not self._roots.holds(path):
            raise FormatError(f"{path} is a link that leads out of {self._roots.folders[0]}")
        height, width = self._size
        return fit(read_picture(path), height, width, self._down, self._up)

    def file_name(self, index: int) -> str:
        """Return the picture's path below the folder."""
        return self.paths[index].relative_to(self._folder).as_posix()

    def _label(self, path: Path) -> int:
        found = self._pattern.search(path.as_posix())
        if found is None:
            raise FormatError(
                f"{self._file}: the label pattern {self._pattern.pattern!r} does not match {path}"
            )
        text = found.group(1)
        if self._by_index:
            if not text.isdecimal():
                raise FormatError(f"{self._file}: the label pattern finds {text!r} in {path}, not a number")
            return int(text)
        for label in self._labels.labels:
            if label.word_net_id == text:
                return label.index
        raise FormatError(f"{self._file}: the label map has no word_net_id {text!r}, found in {path}")

    def _regex(self, entry: Mapping[str, Any]) -> tuple[bool, re.Pattern[str]]:
        given = [key for key in KEYS[:2] if entry[key] is not None]
        if len(given) != 1:
            raise FormatError(f"{self._file}: dataset needs exactly one of {KEYS[0]} and {KEYS[1]}")
        try:
            pattern = re.compile(str(entry[given[0]]))
        except re.error as error:
            raise FormatError(f"{self._file}: {given[0]} is no regular expression ({error})") from error
        if pattern.groups < 1:
            raise FormatError(f"{self._file}: {given[0]} has no group (…) that holds the label")
        return given[0] == KEYS[0], pattern

    def _whole(self, entry: Mapping[str, Any], key: str) -> int:
        value = entry[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1 << 14:
            raise FormatError(f"{self._file}: dataset.{key} is {value!r}, expected a number of pixels")
        return value

    def _one_of(self, entry: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str:
        value = "none" if entry[key] is None else str(entry[key])
        if value not in choices:
            raise FormatError(f"{self._file}: dataset has {unknown(key, value, choices)}")
        return value


def fit(picture: NDArray[np.uint8], height: int, width: int, down: str, up: str) -> NDArray[np.uint8]:
    """Return an (H, W, 3) picture cut, padded or resized to (height, width), each way as asked."""
    larger = picture.shape[0] > height or picture.shape[1] > width
    if larger and down == "resize":
        return _resize(picture, height, width)
    if larger and down == "center_crop":
        top, left = max(0, picture.shape[0] - height) // 2, max(0, picture.shape[1] - width) // 2
        picture = picture[top : top + height, left : left + width]
    missing = max(0, height - picture.shape[0]), max(0, width - picture.shape[1])
    if not any(missing) or up == "none":
        return picture
    if up == "resize":
        return _resize(picture, height, width)
    around = [(extra // 2, extra - extra // 2) for extra in missing]
    padded: NDArray[np.uint8] = np.pad(picture, [*around, (0, 0)], **PADDING[up])
    return padded


def _resize(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
