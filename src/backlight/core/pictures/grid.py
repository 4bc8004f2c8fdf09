"""Heatmaps side by side in one picture, with what they show written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from backlight.core.errors import RequestError, unknown
from backlight.core.pictures.heatmap import channel_sum, overlay, rgb_heatmap
from backlight.core.pictures.lettering import Lettering
from backlight.core.store import displayable

LAYOUTS = ("beside", "overlay", "heatmap")
"""What is shown of a sample: the picture beside its heatmaps, heatmaps over the picture, heatmaps alone."""

_GAP = 8
_ACROSS = 5
_LARGEST = 1 << 27
"""Pixels of all pictures of a grid together; 400 MB of memory."""


@final
@dataclass(frozen=True)
class Tile:
    """One picture of a grid, (H, W, 3) uint8, and the text below it."""

    picture: NDArray[np.uint8]
    caption: str = ""


def heatmap_grid(
    relevance: Any,
    pictures: Sequence[Any] | None = None,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    layout: str = "beside",
    cmap: str = "coldnhot",
    scaling: str = "image",
    level: float = 1.0,
    side: int = 224,
) -> Image.Image:
    """Return one picture with a row for every sample and a column for every explanation of it.

    relevance: (N, C, H, W), (N, K, C, H, W), or N sequences of K maps, of any size.
    pictures: N inputs as uint8 or as floats in [0, 1], in any layout of channels; needed but for "heatmap".
    rows: N names; below the picture if it is shown, else on the left. columns: K names.
    One explanation each, without the pictures beside, stands in lines of five, named below.
    captions: N sequences of K texts. layout: one of `LAYOUTS`. cmap, scaling, level: as for `heatmap`;
    "shared" scales all maps by the strongest. side: of the square that each picture is fitted into, pixels.
    Raises RequestError where the numbers of maps, pictures and names differ.
    """
    maps = [list(row) if _is_many(row) else [row] for row in relevance]
    if layout not in LAYOUTS:
        raise RequestError(unknown("layout", layout, LAYOUTS))
    width = len(maps[0]) if maps else 0
    _same("maps of each sample", width, *(len(row) for row in maps))
    _same("rows", len(maps), len(rows or maps), len(captions or maps))
    _same("columns", width, len(columns or range(width)), *(len(row) for row in captions))
    inputs = [] if pictures is None or layout == "heatmap" else [displayable(np.asarray(p)) for p in pictures]
    if layout != "heatmap":
        _same("pictures", len(maps), len(inputs))
    reference = max((_strongest(values) for row in maps for values in row), default=0.0)
    names, tiles = list(rows) or [""] * len(maps), []
    for number, row in enumerate(maps):
        texts = captions[number] if captions else [""] * width
        if layout == "overlay":
            shown = [overlay(m, inputs[number], cmap, scaling, reference, level) for m in row]
        else:
            shown = [rgb_heatmap(m, cmap, scaling, reference, level) for m in row]
        found = [Tile(picture, text) for picture, text in zip(shown, texts, strict=True)]
        tiles.append([Tile(inputs[number], names[number]), *found] if layout == "beside" else found)
    if layout == "beside":
        names, columns = [], ["", *columns] if columns else []
    elif width == 1:
        tiles, names = _flowing([row[0] for row in tiles], names), []
    return grid(tiles, rows=names, columns=columns, side=side)


def grid(
    tiles: Sequence[Sequence[Tile]], *, rows: Sequence[str] = (), columns: Sequence[str] = (), side: int = 224
) -> Image.Image:
    """Return rows of tiles in one RGB picture, with names above columns and on the left of rows.

    Small pictures are enlarged by whole pixels, large ones reduced into a square of `side` pixels.
    """
    if not tiles or not tiles[0]:
        raise RequestError("there is nothing to show: a grid needs at least one picture")
    if side < 16:
        raise RequestError(f"pictures of {side} pixels cannot be seen, expected 16 or more")
    across = max(len(row) for row in tiles)
    if across * len(tiles) * side**2 > _LARGEST:
        raise RequestError(
            f"{len(tiles)} x {across} pictures of {side} pixels are too many for one grid; "
            "show fewer, or smaller ones"
        )
    written = [*rows, *columns, *(tile.caption for row in tiles for tile in row)]
    letters = Lettering(max(11, side // 16), written)
    margin = _margin(letters, rows, side)
    strips = [_strip(row, side, letters) for row in tiles]
    head = [letters.lines(text, side) for text in columns]
    width = margin + across * (side + _GAP) + _GAP
    height = _GAP + _band(letters, head) + sum(strip.height + _GAP for strip in strips)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for column, lines in enumerate(head):
        letters.write(draw, lines, margin + _GAP + column * (side + _GAP), _GAP, side)
    top = _GAP + _band(letters, head)
    for number, strip in enumerate(strips):
        canvas.paste(strip, (margin, top))
        if margin:
            name = letters.lines(rows[number], margin - _GAP, 6)
            letters.write(draw, name, _GAP, top + (side - len(name) * letters.line) // 2, margin - _GAP)
        top += strip.height + _GAP
    return canvas


def _strip(row: Sequence[Tile], side: int, letters: Lettering) -> Image.Image:
    """Return the pictures of one row with their captions below."""
    fitted = [_fitted(tile.picture, side) for tile in row]
    texts = [letters.lines(tile.caption, side) for tile in row]
    height = max(picture.height for picture in fitted)
    strip = Image.new("RGB", (len(row) * (side + _GAP), height + _band(letters, texts)), "white")
    draw = ImageDraw.Draw(strip)
    for column, (picture, lines) in enumerate(zip(fitted, texts, strict=True)):
        left = _GAP + column * (side + _GAP)
        strip.paste(picture, (left + (side - picture.width) // 2, (height - picture.height) // 2))
        letters.write(draw, lines, left, height + _GAP // 2, side)
    return strip


def _flowing(tiles: Sequence[Tile], names: Sequence[str]) -> list[list[Tile]]:
    """Return single pictures in lines of `_ACROSS`, each with its name in the caption."""
    named = [
        Tile(tile.picture, ": ".join(filter(None, (name, tile.caption))))
        for tile, name in zip(tiles, names, strict=True)
    ]
    return [named[start : start + _ACROSS] for start in range(0, len(named), _ACROSS)]


def _is_many(row: Any) -> bool:
    """Say whether a sample has an axis of explanations: (K, C, H, W), or a sequence of maps."""
    return bool(row.ndim == 4) if hasattr(row, "ndim") else True


def _same(what: str, expected: int, *found: int) -> None:
    for number in found:
        if number != expected:
            raise RequestError(f"{what}: {number} where {expected} are needed")


def _strongest(values: Any) -> float:
    return float(np.abs(channel_sum(values)).max(initial=0.0))


def _fitted(picture: NDArray[np.uint8], side: int) -> Image.Image:
    image = Image.fromarray(picture)
    times = side // max(image.size)
    if times > 1:
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _band(letters: Lettering, texts: Sequence[Sequence[str]]) -> int:
    """Return the height that the longest of some texts side by side takes."""
    most = max((len(lines) for lines in texts), default=0)
    return most * letters.line + _GAP // 2 if most else 0


def _margin(letters: Lettering, rows: Sequence[str], side: int) -> int:
    """Return the width of the names on the left; 0 without any."""
    lines = [line for text in rows for line in letters.lines(text, side // 2, 6)]
    return max(map(letters.width, lines)) + _GAP if lines else 0
