"""Signs and size of maps: |R|, max(R, 0), and interpolation to another size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Absolute(Processor):
    """Drop the signs: (N, C, H, W) -> same shape, float32."""

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return absolute values."""
        return {"relevance": np.abs(relevance).astype(np.float32, copy=False)}


@final
@dataclass(frozen=True)
class PositivePart(Processor):
    """Keep what speaks for the class: (N, C, H, W) -> same shape, float32, negative values zero."""

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the positive part."""
        return {"relevance": np.maximum(relevance, 0).astype(np.float32, copy=False)}


@final
@dataclass(frozen=True)
class Resize(Processor):
    """Interpolate linearly to another size: (N, C, H, W) -> (N, C, height, width) float32.

    To make maps smaller without losing what lies between pixels, pool them instead.
    """

    height: int = 32
    width: int = 32

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise RequestError(f"{self}: expected height and width of at least 1")

    def __call__(self, *, relevance: Array) -> dict[str, Array]:
        """Return the resized maps."""
        maps = np.asarray(relevance, dtype=np.float32)
        if maps.ndim != 4:
            raise RequestError(f"resize: relevance has shape {maps.shape}, expected (N, C, H, W)")
        factors = (1, 1, self.height / maps.shape[2], self.width / maps.shape[3])
        resized = scipy.ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True)
        return {"relevance": resized}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer signs and sizes."""
    return [
        ProcessorSpec("abs", Absolute),
        ProcessorSpec("positive-part", PositivePart),
        ProcessorSpec("resize", Resize),
    ]
