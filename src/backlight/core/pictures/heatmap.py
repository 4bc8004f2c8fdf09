"""Relevance to pictures: channel sum, normalisation symmetric about 0, and a colour map.

A colour map is written in a mini language: `node("," node)*` with `node = [index ":"] colour`. An index is
one or two hex digits (one is doubled) on the scale 00 (most negative) … 80 (zero) … ff (most positive); a
colour is 3 or 6 hex digits. Indices ascend; nodes without one are spread evenly between their neighbours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backlight.core.errors import RequestError, unknown
from backlight.core.store import channels_first

Array = NDArray[Any]

COLOUR_MAPS = {
    "coldnhot": "0ff,00f,80:000,f00,ff0,fff",
    "black-fire-red": "fff,40:0ff,60:00f,80:000,a0:f00,c0:ff0,fff",
    "bwr": "00f,80:fff,f00",
    "seismic": "0000d0,80:d0d0d0,d00000",
    "france": "0055a4,80:fff,ef4135",
    "coolio": "00d0d0,80:d0d0d0,d000d0",
    "coleus": "00d000,80:d0d0d0,d000d0",
    "gray-red": "00f,80:ccc,f00",
    "black-green": "00f,80:000,0f0",
    "black-yellow": "00f,80:000,ff0",
    "gray": "000,fff",
    "hot": "000,f00,ff0,fff",
    "cold": "000,00f,0ff",
    "wred": "fff,f00",
    "wblue": "fff,00f",
    "afm-hot": "000,40:800000,80:ff8000,c0:ffff80,fff",
    "jet": "000080,20:00f,60:0ff,a0:ff0,e0:f00,800000",
}
"""Every named colour map, in the mini language; this is the only list of them."""

SCALINGS = ("image", "shared", "quantile", "gamma", "positive", "negative")
"""How relevance becomes strength of colour, see `scaled`."""

_NODE = re.compile(r"(?:([0-9a-fA-F]{1,2}):)?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


@final
@dataclass(frozen=True)
class ColourMap:
    """A piecewise linear map from [0, 1] to RGB.

    positions: ascending, in [0, 1]; 0.5 is zero relevance.
    colours: one (red, green, blue) of 0…255 for each position.
    """

    positions: tuple[float, ...]
    colours: tuple[tuple[int, int, int], ...]

    def rgb(self, values: Array) -> NDArray[np.uint8]:
        """Return the colours (…, 3) of `values` in [0, 1]."""
        table = np.asarray(self.colours, dtype=np.float64)
        channels = [np.interp(values, self.positions, table[:, channel]) for channel in range(3)]
        return np.stack(channels, axis=-1).round().astype(np.uint8)

    def palette(self, level: float = 1.0) -> NDArray[np.uint8]:
        """Return the (256, 3) colours of palette entries 0…255; `level` > 1 reaches the ends earlier."""
        entries = np.arange(256) / 256
        entries[255] = 1.0
        return self.rgb(_levelled(entries, level))

    def matplotlib(self, name: str = "backlight") -> Any:
        """Return the palette as a matplotlib.colors.ListedColormap; RequestError without matplotlib.

        Of `normalised` relevance it gives the very colours of `heatmap`.
        """
        try:
            from matplotlib.colors import ListedColormap
        except ImportError:
            raise RequestError(
                "a colour map for matplotlib needs it; try `pip install 'backlight[matplotlib]'`"
            ) from None
        return ListedColormap(self.palette() / 255, name)


@lru_cache(maxsize=256)
def colour_map(name: str) -> ColourMap:
    """Return the colour map of a name in `COLOUR_MAPS` or of a text in the mini language."""
    source = COLOUR_MAPS.get(name, name)
    nodes = [_NODE.fullmatch(part.strip()) for part in source.split(",")]
    if None in nodes or len(nodes) < 2:
        example = 'or write at least two colours such as "00f,80:fff,f00"'
        raise RequestError(f"{unknown('colour map', name, COLOUR_MAPS)} ({example})")
    indices = [None if n is None or n[1] is None else int(n[1] * (3 - len(n[1])), 16) for n in nodes]
    return ColourMap(_spread(indices, name), tuple(_colour(n[2]) for n in nodes if n is not None))


def _colour(digits: str) -> tuple[int, int, int]:
    full = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    return int(full[:2], 16), int(full[2:4], 16), int(full[4:], 16)


def _spread(indices: list[int | None], name: str) -> tuple[float, ...]:
    """Return positions in [0, 1]; index i lies at i/256 so that 80 is the exact middle, and ff at 1."""
    fixed = [None if i is None else 1.0 if i == 255 else i / 256 for i in indices]
    fixed[0] = 0.0 if fixed[0] is None else fixed[0]
    fixed[-1] = 1.0 if fixed[-1] is None else fixed[-1]
    known = [(k, value) for k, value in enumerate(fixed) if value is not None]
    if any(left[1] >= right[1] for left, right in pairwise(known)):
        raise RequestError(f"colour map {name!r}: the indices must ascend")
    order, values = zip(*known, strict=True)
    return tuple(np.interp(range(len(fixed)), order, values).tolist())


def channel_sum(relevance: Any) -> Array:
    """Return relevance summed over channels, (H, W) float64; NaN and infinities count as zero.

    relevance: an array or tensor (H, W), (C, H, W) or (H, W, C).
    """
    # In double before it leaves torch: numpy has no bfloat16.
    array = relevance.detach().cpu().double().numpy() if hasattr(relevance, "detach") else relevance
    values = np.nan_to_num(np.asarray(array, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    total: Array = channels_first(values).sum(axis=0)
    return total


def normalised(values: Array, *, symmetric: bool = True) -> Array:
    """Return `values` scaled to [0, 1]: symmetric about 0 (which becomes 0.5), or from minimum to maximum.

    An all-zero picture is 0.5 throughout; so is a constant one when not symmetric.
    """
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if symmetric:
        high = max(-low, high)
        low = -high
    elif values.size:
        low, high = float(values.min()), float(values.max())
    # Halved before they are subtracted, so that the range of the largest floats stays finite.
    span = high / 2 - low / 2
    return (values / 2 - low / 2) / span if span > 0 else np.full(values.shape, 0.5)


def scaled(values: Array, scaling: str = "image", reference: float | None = None) -> Array:
    """Return summed relevance (H, W) as [0, 1] with 0.5 for zero, in one of `SCALINGS`.

    image: by the strongest of the picture. shared: by `reference`, the same for all pictures.
    quantile: by the 99th percentile of the strengths. gamma: as image, weak relevance lifted by a root.
    positive, negative: one sign only.
    """
    if scaling not in SCALINGS:
        raise RequestError(unknown("scaling", scaling, SCALINGS))
    if scaling == "positive":
        values = np.maximum(values, 0.0)
    elif scaling == "negative":
        values = np.minimum(values, 0.0)
    limit = float(np.abs(values).max(initial=0.0))
    if scaling == "shared" and reference is not None and reference > 0:
        limit = reference
    elif scaling == "quantile" and values.size:
        limit = float(np.quantile(np.abs(values), 0.99)) or limit
    if limit <= 0:
        return np.full(values.shape, 0.5)
    strength = np.clip(values / limit, -1.0, 1.0)
    if scaling == "gamma":
        strength = np.sign(strength) * np.sqrt(np.abs(strength))
    return np.asarray(0.5 + strength / 2)


def heatmap(
    relevance: Any,
    cmap: str = "coldnhot",
    level: float = 1.0,
    symmetric: bool = True,
    scaling: str = "image",
    reference: float | None = None,
) -> Image.Image:
    """Return the heatmap of one sample as a palette image, which can be re-coloured without recomputing.

    relevance: an array or tensor (H, W), (C, H, W) or (H, W, C). cmap: a name or the mini language.
    level: above 1 reaches the strongest colours earlier. symmetric: zero relevance is the map's middle;
    only with the scaling "image". scaling, reference: see `scaled`.
    """
    if not symmetric and scaling != "image":
        raise RequestError(f"scaling {scaling!r} keeps zero in the middle of the map; leave symmetric=True")
    values = _strengths(relevance, scaling, reference, symmetric=symmetric)
    image = Image.fromarray(np.clip(np.floor(values * 256), 0, 255).astype(np.uint8))
    image.putpalette(_palette(cmap, level))
    return image


def recolour(image: Image.Image, cmap: str = "coldnhot", level: float = 1.0) -> Image.Image:
    """Return a heatmap that `heatmap` made, also one read from a file, in the colours of another map.

    Raises RequestError for a picture without a palette: its relevance is not known any more.
    """
    if image.mode != "P":
        raise RequestError(
            f"the picture has no palette but mode {image.mode}; expected one that `heatmap` made of one map"
        )
    again = Image.fromarray(np.asarray(image))
    again.putpalette(_palette(cmap, level))
    return again


def rgb_heatmap(
    relevance: Any,
    cmap: str = "coldnhot",
    scaling: str = "image",
    reference: float | None = None,
    level: float = 1.0,
) -> NDArray[np.uint8]:
    """Return the heatmap of one sample as (H, W, 3) colours, without quantising to a palette."""
    return colour_map(cmap).rgb(_levelled(_strengths(relevance, scaling, reference), level))


def overlay(
    relevance: Any,
    picture: NDArray[np.uint8],
    cmap: str = "coldnhot",
    scaling: str = "image",
    reference: float | None = None,
    level: float = 1.0,
) -> NDArray[np.uint8]:
    """Return the heatmap over the grey-scale `picture` (H, W, 3), as opaque as relevance is strong.

    A heatmap of another size is resized to the picture's.
    """
    height, width = picture.shape[:2]
    values = _levelled(_strengths(relevance, scaling, reference), level)
    if values.shape != (height, width):
        resized = Image.fromarray(values.astype(np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        values = np.clip(np.asarray(resized, dtype=np.float64), 0.0, 1.0)
    grey = np.asarray(Image.fromarray(picture).convert("L"), dtype=np.float64)[..., None]
    # Ten percent of the input stays visible under the strongest relevance, as in ViRelAy.
    opacity = 0.9 * np.abs(2 * values - 1)[..., None]
    mixed: Array = grey * (1 - opacity) + colour_map(cmap).rgb(values) * opacity
    return mixed.round().astype(np.uint8)


def checked_look(cmap: str, scaling: str, level: float) -> None:
    """Raise RequestError for a colour map, scaling or level that no heatmap can have, before any work."""
    colour_map(cmap).palette(level)
    if scaling not in SCALINGS:
        raise RequestError(unknown("scaling", scaling, SCALINGS))


def _strengths(relevance: Any, scaling: str, reference: float | None, *, symmetric: bool = True) -> Array:
    values = channel_sum(relevance)
    if scaling == "image":
        return normalised(values, symmetric=symmetric)
    return scaled(values, scaling, reference)


def _levelled(values: Array, level: float) -> Array:
    """Return values in [0, 1] `level` times as far from the middle, cut off at the ends."""
    if not 0 < level < float("inf"):
        raise RequestError(f"level is {level}, expected a number above 0")
    return np.clip((values - 0.5) * level + 0.5, 0.0, 1.0)


def _palette(cmap: str, level: float) -> bytes:
    return colour_map(cmap).palette(level).tobytes()
