"""One file of what was explained: a picture to look at, or the relevance itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from backlight.core.errors import RequestError
from backlight.core.pictures.grid import heatmap_grid
from backlight.core.pictures.heatmap import heatmap, overlay
from backlight.core.store import atomic_path

if TYPE_CHECKING:  # recolouring a file needs no torch
    from backlight.app.heatmap.explaining import Explanations
    from backlight.core.sources.labels import Labels

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"optimize": True}),
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}),  # red on blue would bleed at half the resolution
    ".webp": ("WEBP", {"quality": 92}),
}
"""Suffix -> Pillow's format and how it is written."""

ARRAYS = (".npy", ".npz")


@final
@dataclass(frozen=True)
class Look:
    """How heatmaps look. layout: None shows a single heatmap alone, and several beside their pictures."""

    cmap: str
    level: float
    scaling: str
    layout: str | None
    side: int


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Raise RequestError, before any work, for a file that could not be written in the end."""
    if path.suffix.lower() not in suffixes:
        raise RequestError(f"output {path} should end in {', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if path.is_dir() or not path.parent.is_dir():
        wrong = f"{path} is a folder" if path.is_dir() else f"folder {path.parent} does not exist"
        raise RequestError(f"output {path} cannot be written: {wrong}")
    with _worded(path), tempfile.TemporaryFile(dir=path.parent):
        pass


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when all is written; RequestError if that fails."""
    with _worded(path), atomic_path(path) as part:
        yield part


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(f"output {path} cannot be written: {error.strerror or error}") from error


def write(found: Explanations, labels: Labels, targets: Sequence[str], look: Look, path: Path) -> None:
    """Write what was explained in the format of the path's suffix."""
    if path.suffix.lower() in ARRAYS:
        save_arrays(found, labels, path)
    else:
        save_picture(draw(found, labels, targets, look), path)


def draw(found: Explanations, labels: Labels, targets: Sequence[str], look: Look) -> Image.Image:
    """Return one heatmap in a palette, one over its picture, or a grid of everything."""
    first = found.pictures[0]
    single = len(found.pictures) == len(first.relevance) == 1
    layout = look.layout or ("heatmap" if single else "beside")
    if single and layout == "heatmap":
        return heatmap(first.relevance[0], look.cmap, look.level, scaling=look.scaling)
    if single and layout == "overlay":
        return Image.fromarray(
            overlay(first.relevance[0], first.picture, look.cmap, look.scaling, level=look.level)
        )
    asked = _asked(targets, len(first.classes))
    return heatmap_grid(
        [picture.relevance for picture in found.pictures],
        [picture.picture for picture in found.pictures],
        rows=[picture.name for picture in found.pictures],
        columns=[f"{way}{target}" for way in found.ways for target in asked],
        captions=[
            [picture.said(labels, number) for _ in found.ways for number in picture.classes]
            for picture in found.pictures
        ],
        layout=layout,
        cmap=look.cmap,
        scaling=look.scaling,
        level=look.level,
        side=look.side,
    )


def save_picture(image: Image.Image, path: Path) -> None:
    """Write an image in the format of the path's suffix; only PNG keeps a palette."""
    name, options = FORMATS[path.suffix.lower()]
    image = image if name == "PNG" else image.convert("RGB")
    with written(path) as part:
        image.save(part, name, **options)


def save_arrays(found: Explanations, labels: Labels, path: Path) -> None:
    """Write the relevance (N, explanations, C, H, W); into .npz also what it is of.

    npz: relevance, input (N, H, W, 3), output (N, classes), target (N, explanations), image, way, label.
    """
    pictures = found.pictures
    if len({values.shape for picture in pictures for values in picture.relevance}) > 1:
        raise RequestError("the pictures differ in size, which one array cannot hold; give --size")
    relevance = np.stack([np.stack(picture.relevance) for picture in pictures])
    target = np.array([picture.classes * len(found.ways) for picture in pictures])
    beside: dict[str, Any] = {
        "input": np.stack([picture.picture for picture in pictures]),
        "output": np.stack([picture.output for picture in pictures]),
        "target": target,
        "image": np.array([picture.name for picture in pictures]),
        "way": np.repeat(np.array(found.ways), len(pictures[0].classes)),
        "label": np.array([[labels.name(number) for number in row] for row in target.tolist()]),
    }
    with written(path) as part, part.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, relevance)
        else:
            np.savez_compressed(file, relevance=relevance, **beside)


def _asked(targets: Sequence[str], classes: int) -> list[str]:
    """Return what a column says of its target, where there are several."""
    if classes == 1:
        return [""]
    asked: list[str] = []
    for target in targets:
        kind, _, number = target.partition("-")
        many = classes if target == "all" else int(number) if kind == "top" and number.isdecimal() else 1
        name = f"class {target}" if target.isdecimal() else target
        asked += [f", {name}" if many == 1 else f", no. {n + 1}" for n in range(many)]
    return asked
