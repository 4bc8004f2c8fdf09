"""Image classifiers of transformers: their weights, and the pictures their image processor makes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import nn

from backlight.core.errors import BacklightError, RequestError
from backlight.core.sources.preprocessing import Preprocessing
from backlight.core.sources.pretrained import Pretrained, name_in, not_here


@final
@dataclass(frozen=True)
class HuggingFaceWeights(Pretrained):
    """A classifier of the hub, hf/OWNER/NAME, or a folder that `save_pretrained` wrote, hf/FOLDER."""

    spec: str
    download: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """Read the configuration of the image processor, which lies beside the weights."""
        return as_preprocessing(self._load("AutoImageProcessor").to_dict(), self.spec)

    @property
    def classes(self) -> tuple[str, ...]:
        """Read the configuration beside the weights."""
        found = self._load("AutoConfig").id2label
        return tuple(str(found[number]) for number in sorted(found))

    def here(self) -> bool:
        """Say whether the name is a folder."""
        return Path(name_in(self.spec)).is_dir()

    def load(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Let transformers load them; RequestError for arguments, as the model is what was saved."""
        if arguments:
            raise RequestError(f"{self.spec} is as it was saved; {', '.join(arguments)} cannot be chosen")
        model: nn.Module = self._load("AutoModelForImageClassification")
        return model

    def _load(self, kind: str) -> Any:
        """Return what a class of transformers reads: from this machine alone unless more is allowed."""
        try:
            transformers = importlib.import_module("transformers")
        except ImportError:
            raise RequestError(
                f"model {self.spec!r} needs transformers; try `pip install 'backlight[hf]'`"
            ) from None
        transformers.utils.logging.disable_progress_bar()
        try:
            return getattr(transformers, kind).from_pretrained(
                name_in(self.spec), local_files_only=not self.download
            )
        except (OSError, ValueError) as error:
            if not self.download and not self.here():
                raise not_here("DEFAULT", self.spec) from error
            reason = " ".join(str(error).split())
            raise BacklightError(f"{self.spec} cannot be read by transformers: {reason}") from error


def as_preprocessing(processor: Mapping[str, Any], name: str) -> Preprocessing:
    """Return the preprocessing that an image processor's configuration describes.

    Raises RequestError for channels in another order, which a run does not know.
    """
    if processor.get("do_flip_channel_order"):
        raise RequestError(f"{name} takes pictures with channels in the order BGR; wrap it in a factory")
    scale = processor.get("rescale_factor", 1 / 255) * 255 if processor.get("do_rescale", True) else 255.0
    plain = not processor.get("do_normalize", True)
    mean = (0.0,) * 3 if plain else processor["image_mean"]
    std = (1.0,) * 3 if plain else processor["image_std"]
    size, resize, stretch = _sizes(processor)
    return Preprocessing(
        size,
        tuple(float(value) / scale for value in mean),
        tuple(float(value) / scale for value in std),
        resize,
        {0: "nearest", 3: "bicubic"}.get(int(processor.get("resample", 2)), "bilinear"),
        stretch,
    )


def _sizes(processor: Mapping[str, Any]) -> tuple[tuple[int, int] | None, int | None, bool]:
    """Return size, length of the shorter side before cropping, and whether the picture is stretched."""
    if not processor.get("do_resize", True):
        return None, None, False
    wanted = processor["size"]
    short = wanted.get("shortest_edge")
    if processor.get("do_center_crop"):
        crop = processor["crop_size"]
        return (int(crop["height"]), int(crop["width"])), short and int(short), short is None
    if short is None:
        return (int(wanted["height"]), int(wanted["width"])), None, True
    if "crop_pct" in processor and short < 384:  # ConvNeXt's processor crops below 384 only
        return (int(short), int(short)), int(short / processor["crop_pct"]), False
    return (int(short), int(short)), None, "crop_pct" in processor
