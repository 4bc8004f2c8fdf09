"""Weights that a library names: what they are and what input they expect is known without a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from backlight.core.errors import BacklightError, RequestError, unknown
from backlight.core.sources.factory import is_factory
from backlight.core.sources.preprocessing import Preprocessing


class Pretrained(ABC):
    """Weights by name; subclasses know one library."""

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """How the library prepares pictures for these weights."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names of the model's outputs, or nothing where the library gives none."""

    @abstractmethod
    def here(self) -> bool:
        """Say whether the weights lie on this machine."""

    @abstractmethod
    def load(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return the model with its weights; RequestError when they are not here and may not be fetched."""


def pretrained(spec: str, weights: str, download: bool = False) -> Pretrained | None:
    """Return what `weights` names for a model, or None where it means a file.

    download: whether they may be fetched.
    """
    if Path(weights).exists() or Path(weights).suffix or Path(weights).name != weights or is_factory(spec):
        return None
    if spec.startswith("timm/"):
        return TimmWeights(spec, download)
    if spec.startswith("hf/"):
        from backlight.core.sources.huggingface import HuggingFaceWeights

        return HuggingFaceWeights(spec, download)
    from torchvision import models

    if spec not in models.list_models():
        return None  # the model's name is what is wrong, and is said when it is built
    known = models.get_model_weights(spec).__members__
    if weights not in known:
        raise RequestError(f"{unknown(f'weights of {spec}', weights, known)}; or give a file that exists")
    return TorchvisionWeights(spec, known[weights], download)


@final
@dataclass(frozen=True)
class TorchvisionWeights(Pretrained):
    """A member of torchvision's enumeration of a model's weights."""

    spec: str
    member: Any
    download: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """Read torchvision's own transform."""
        preset = self.member.transforms()
        crop, resize = int(preset.crop_size[0]), int(preset.resize_size[0])
        interpolation = preset.interpolation.value
        return Preprocessing((crop, crop), tuple(preset.mean), tuple(preset.std), resize, interpolation)

    @property
    def classes(self) -> tuple[str, ...]:
        """Read what torchvision notes beside the weights."""
        return tuple(self.member.meta.get("categories", ()))

    def here(self) -> bool:
        """Look into torch's cache."""
        name = str(self.member.url).rpartition("/")[2]
        return Path(torch.hub.get_dir(), "checkpoints", name).is_file()

    def load(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Build the model as torchvision does for these weights."""
        from torchvision import models

        if not self.download and not self.here():
            raise not_here(self.member.name, self.spec)
        try:
            model: nn.Module = models.get_model(self.spec, weights=self.member, progress=False, **arguments)
        except (OSError, RuntimeError, ValueError) as error:
            raise BacklightError(
                f"weights {self.member.name!r} of {self.spec} cannot be had: {error}"
            ) from error
        return model


@final
@dataclass(frozen=True)
class TimmWeights(Pretrained):
    """The weights timm has for a model, whatever they are called."""

    spec: str
    download: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """Read timm's configuration of the weights."""
        timm = timm_module(self.spec)
        found = timm.get_pretrained_cfg(name_in(self.spec))
        config = timm.data.resolve_data_config(pretrained_cfg=found.to_dict())
        height, width = config["input_size"][-2:]
        resize = int(min(height, width) / config["crop_pct"])
        size = (int(height), int(width))
        return Preprocessing(
            size, tuple(config["mean"]), tuple(config["std"]), resize, config["interpolation"]
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Read timm's descriptions of the ImageNet classes, for weights that have them."""
        timm = timm_module(self.spec)
        data, config = timm.data, timm.get_pretrained_cfg(name_in(self.spec))
        subset = data.infer_imagenet_subset(config.to_dict())
        if not subset:
            return tuple(config.label_names or ())
        info = data.ImageNetInfo(subset)
        synonyms = [info.index_to_description(number) for number in range(info.num_classes())]
        return tuple(names.partition(",")[0] for names in synonyms)

    def here(self) -> bool:
        """Say no: timm alone knows its cache."""
        return False

    def load(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Let timm load them."""
        if not self.download:
            raise not_here("DEFAULT", self.spec)
        return timm_model(self.spec, pretrained=True, **arguments)


def timm_module(spec: str) -> Any:
    """Return timm, having checked that it is there and knows the model."""
    try:
        import timm
        import timm.data
    except ImportError:
        raise RequestError(f"model {spec!r} needs timm; try `pip install timm`") from None
    if name_in(spec).partition(".")[0] not in timm.list_models():
        raise RequestError(unknown("timm model", name_in(spec), timm.list_models()))
    return timm


def timm_model(spec: str, **arguments: Any) -> nn.Module:
    """Build `timm/NAME`."""
    model: nn.Module = timm_module(spec).create_model(name_in(spec), **arguments)
    return model


def name_in(spec: str) -> str:
    """Return NAME of `timm/NAME` or `hf/NAME`."""
    return spec.partition("/")[2]


def not_here(weights: str, spec: str) -> RequestError:
    """Return what is raised where weights would have to be fetched."""
    return RequestError(
        f"weights {weights!r} of {spec} are not on this machine; add --download to fetch them"
    )
