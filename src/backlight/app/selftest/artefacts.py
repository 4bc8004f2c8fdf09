"""Known artefacts, each a function of pictures (N, H, W, 3) uint8 and a strength -> a changed copy.

box        a grey square in the top-left corner, a sixteenth of the picture's width; strength: of its side
watermark  translucent white text in the bottom-right corner; strength: of its opacity, which is at most 1
colour     a warm colour cast over the whole picture; strength: of the shift, 18 levels of red and of blue
frequency  a faint diagonal sine of period four pixels over the whole picture; strength: of its amplitude
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pictures = NDArray[np.uint8]
Artefact = Callable[[Pictures, float], Pictures]

_GREY = 128
_TEXT = "demo"
_OPACITY = 0.5
_CAST = (18, 0, -18)
_AMPLITUDE, _PERIOD = 10.0, 4.0


def box(pictures: Pictures, strength: float = 1.0) -> Pictures:
    """Paint a grey square of 2 x 2 pixels (at width 32) into the top-left corner."""
    side = max(2, round(strength * pictures.shape[2] / 16))
    painted = pictures.copy()
    painted[:, :side, :side] = _GREY
    return painted


def watermark(pictures: Pictures, strength: float = 1.0) -> Pictures:
    """Lay half-transparent text over the bottom-right corner."""
    height, width = pictures.shape[1:3]
    mask = Image.new("L", (width, height))
    font = ImageFont.load_default(max(7, height // 5))
    ImageDraw.Draw(mask).text((width - 1, height - 1), _TEXT, fill=255, font=font, anchor="rs")
    opacity = min(1.0, strength * _OPACITY)
    share = opacity * np.asarray(mask, dtype=np.float32)[..., None] / 255
    return _rounded(pictures * (1 - share) + 255 * share)


def colour(pictures: Pictures, strength: float = 1.0) -> Pictures:
    """Warm the colours: more red, less blue."""
    return _rounded(pictures + strength * np.array(_CAST, dtype=np.float32))


def frequency(pictures: Pictures, strength: float = 1.0) -> Pictures:
    """Add a diagonal sine to every channel."""
    rows, columns = np.indices(pictures.shape[1:3])
    wave = strength * _AMPLITUDE * np.sin(2 * np.pi * (rows + columns) / _PERIOD)
    return _rounded(pictures + wave[..., None].astype(np.float32))


ARTEFACTS: dict[str, Artefact] = {
    "box": box,
    "watermark": watermark,
    "colour": colour,
    "frequency": frequency,
}
"""What can be planted, by name."""

SPREAD = ("colour", "frequency")
"""Artefacts that lie everywhere in a picture, and so nowhere in a heatmap."""


def _rounded(values: NDArray[np.float32]) -> Pictures:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
