"""From a picture to a model's input: resize, scale to [0, 1], normalise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backlight.core.errors import RequestError, unknown
from backlight.core.sources.data import Picture

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@final
@dataclass(frozen=True)
class Preprocessing:
    """How pictures become inputs.

    size: (height, width) after resizing the shorter side and cropping the centre; None keeps pictures.
    mean, std: per channel, in units of [0, 1] pictures.
    resize: length of the shorter side before cropping, as in torchvision's presets; None: fits the size.
    interpolation: "bilinear", "bicubic" or "nearest".
    stretch: resize both sides to the size, whatever the shape of the picture, and crop nothing.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: int | None = None
    interpolation: str = "bilinear"
    stretch: bool = False

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise RequestError(
                f"mean {self.mean} and std {self.std}: expected three values each, std above 0"
            )

        if self.interpolation not in INTERPOLATIONS:
            raise RequestError(unknown("interpolation", self.interpolation, INTERPOLATIONS))
        if self.stretch and (self.size is None or self.resize is not None):
            raise RequestError("stretch needs a size, and resize would contradict it")
        if self.resize is not None and (self.size is None or self.resize < max(self.size)):
            raise RequestError(f"resize {self.resize} is below the size {self.size} that is cropped from it")

    def fit(self, picture: Picture) -> Picture:
        """Return the picture in the model's size, (H, W, 3) uint8."""
        if self.size is None or (self.resize is None and picture.shape[:2] == self.size):
            return picture
        height, width = self.size
        image = Image.fromarray(picture)
        if self.stretch:
            return np.asarray(image.resize((width, height), INTERPOLATIONS[self.interpolation]))
        resized = image.resize(self._before_cropping(image), INTERPOLATIONS[self.interpolation])
        if self.resize is None:
            left, top = (resized.width - width) // 2, (resized.height - height) // 2
        else:
            left, top = round((resized.width - width) / 2.0), round((resized.height - height) / 2.0)
        return np.asarray(resized.crop((left, top, left + width, top + height)))

    def _before_cropping(self, image: Image.Image) -> tuple[int, int]:
        """Return (width, height) that the picture is resized to."""
        assert self.size is not None
        height, width = self.size
        if self.resize is not None:  # rounded down, as torchvision does
            short = min(image.size)
            return image.width * self.resize // short, image.height * self.resize // short
        scale = max(height / image.height, width / image.width)
        return max(width, round(image.width * scale)), max(height, round(image.height * scale))

    def inputs(self, pictures: np.ndarray) -> Tensor:
        """Return the normalised batch (N, 3, H, W) float32 of fitted pictures (N, H, W, 3) uint8."""
        # Not by torch: every thread that reads would get a team of threads, which keep the model's waiting.
        batch = pictures.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        mean, std = (np.asarray(v, np.float32).reshape(3, 1, 1) for v in (self.mean, self.std))
        batch /= np.float32(255)
        batch -= mean
        batch /= std
        return torch.from_numpy(batch)

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lowest and highest value an input can have, per channel; what the box rule wants."""
        low = tuple(-m / s for m, s in zip(self.mean, self.std, strict=True))
        high = tuple((1 - m) / s for m, s in zip(self.mean, self.std, strict=True))
        return low, high
