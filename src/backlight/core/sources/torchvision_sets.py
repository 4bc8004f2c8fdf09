"""Datasets that torchvision knows, by public name and part."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from backlight.core.errors import BacklightError, RequestError

TORCHVISION = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "dtd": "DTD",
    "fashion-mnist": "FashionMNIST",
    "fgvc-aircraft": "FGVCAircraft",
    "flowers102": "Flowers102",
    "food101": "Food101",
    "gtsrb": "GTSRB",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
    "kmnist": "KMNIST",
    "mnist": "MNIST",
    "oxford-iiit-pet": "OxfordIIITPet",
    "stl10": "STL10",
    "svhn": "SVHN",
    "usps": "USPS",
}
"""Public name -> class in torchvision.datasets, of those that yield (picture, class)."""

_PARTS = {
    "fgvc-aircraft": ("trainval", "test"),
    "imagenet": ("train", "val"),
    "imagenette": ("train", "val"),
    "oxford-iiit-pet": ("trainval", "test"),
}
"""Names of the training and the test part, where they are not train and test."""


def torchvision_dataset(name: str, folder: Path, download: bool, split: str = "train") -> Any:
    """Return one part of a torchvision dataset, downloading it into `folder` if allowed and needed."""
    from torchvision import datasets

    kind = getattr(datasets, TORCHVISION[name])
    training = split == "train"
    parameters = inspect.signature(kind).parameters
    part = (
        {"train": training}
        if "train" in parameters
        else {"split": _PARTS.get(name, ("train", "test"))[not training]}
    )
    may = {"download": download} if "download" in parameters else {}  # ImageNet has to be there
    try:
        return kind(str(folder), **may, **part)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if may and download:
            raise BacklightError(f"dataset {name!r} cannot be downloaded into {folder}: {reason}") from error
        hint = "add --download to fetch it" if may else "torchvision cannot fetch it, put its archives there"
        raise RequestError(f"dataset {name!r} is not in {folder}; {hint}") from error
