"""Samples by number: image folders, HDF5 files, torchvision datasets, factories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.sources.factory import build, is_factory, load_factory
from backlight.core.sources.torchvision_sets import TORCHVISION, torchvision_dataset

Picture = NDArray[np.uint8]
LOOKED_AT = 100
"""Files of a folder that are looked into for notes."""

SPLITS = {"train": ("train", "training"), "test": ("test", "val", "validation")}
"""Split -> names of the sub-folder that may hold it."""


class Source(ABC):
    """A labelled dataset: pictures (H, W, 3) uint8 by number."""

    name: str
    classes: Sequence[str]

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def picture(self, number: int) -> Picture:
        """Return one picture, (H, W, 3) uint8; FormatError if it cannot be read."""

    @abstractmethod
    def label(self, number: int) -> int:
        """Return the class index of one sample."""

    def origin(self, number: int) -> str:
        """Return where a sample comes from, e.g. its file."""
        return str(number)

    def training(self, number: int) -> bool | None:
        """Say whether the sample belongs to the training split; None where the source does not tell."""
        return None

    def notes(self) -> Sequence[str]:
        """Return what a person should know of the pictures before they are explained."""
        return ()


@final
class ImageFolder(Source):
    """A folder of class sub-folders, nested ones included, with pictures in any format Pillow reads."""

    def __init__(self, root: Path, training: bool | None = None) -> None:
        from PIL import Image

        self._training = training

        known = set(Image.registered_extensions())
        self.root, self.name = root, root.name
        self.classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        self._samples = [
            (path, number)
            for number, name in enumerate(self.classes)
            for path in sorted((root / name).rglob("*"))
            if path.suffix.lower() in known and path.is_file()
        ]
        if not self._samples:
            raise RequestError(
                f"{root} holds no pictures in class sub-folders; expected {root}/<class>/<picture>"
            )

    def __len__(self) -> int:
        return len(self._samples)

    def picture(self, number: int) -> Picture:
        """Read one file."""
        return read_picture(self._samples[number][0])

    def label(self, number: int) -> int:
        """Return the number of the sample's class folder."""
        return self._samples[number][1]

    def origin(self, number: int) -> str:
        """Return the file's path below the folder."""
        return self._samples[number][0].relative_to(self.root).as_posix()

    def training(self, number: int) -> bool | None:
        """Say which part of the dataset the folder holds, where that is known."""
        return self._training

    def notes(self) -> Sequence[str]:
        """Say whether there are photographs that viewers turn, of at most LOOKED_AT files."""
        some = self._samples[:: -(-len(self._samples) // LOOKED_AT)]
        turned = sum(turned_by_viewers(path) for path, _ in some)
        told = (
            f"{turned} of {len(some)} pictures looked at carry an EXIF orientation by which viewers turn "
            "them; they are read as stored, which is what torchvision does"
        )
        return (told,) if turned else ()


@final
class Hdf5Source(Source):
    """An HDF5 file with `data` and `label`, in dataset or group form."""

    def __init__(self, path: Path) -> None:
        from backlight.core.store import Rows, class_indices, open_hdf5

        self.name = path.stem
        self._file = open_hdf5(path)
        self._data = Rows(self._file, "data")
        labels = class_indices(Rows(self._file, "label"))
        if len(labels) != len(self._data):
            raise FormatError(f"{path} has {len(self._data)} samples in 'data' but {len(labels)} in 'label'")
        self._labels: list[int] = labels.tolist()
        train = self._file.get("train")
        self._train = None if train is None else np.asarray(train, dtype=bool)
        if self._train is not None and self._train.shape != (len(labels),):
            raise FormatError(f"{path}: 'train' has shape {self._train.shape}, expected ({len(labels)},)")
        self.classes = [f"class {n}" for n in range(max(self._labels, default=-1) + 1)]

    def __len__(self) -> int:
        return len(self._data)

    def picture(self, number: int) -> Picture:
        """Return one sample as a picture."""
        from backlight.core.store import displayable

        return displayable(self._data[number])

    def label(self, number: int) -> int:
        """Return the recorded label; the first set class when it is n-hot."""
        return self._labels[number]

    def origin(self, number: int) -> str:
        """Return the sample's key or number."""
        return self._data.keys[number] if self._data.keys is not None else str(number)

    def training(self, number: int) -> bool | None:
        """Return the recorded split, where the file has one."""
        return None if self._train is None else bool(self._train[number])


@final
class DatasetSource(Source):
    """Any map-style dataset that yields (picture, label): Pillow images, arrays or [0, 1] tensors."""

    def __init__(self, dataset: Any, name: str, training: bool | None = None) -> None:
        self._dataset, self.name, self._training = dataset, name, training
        try:
            self._labels = [int(label) for label in _labels(dataset)]
        except (TypeError, ValueError, IndexError) as error:
            raise RequestError(
                f"data {name!r} does not yield (picture, integer label) by number: {error}"
            ) from error
        self.classes = [str(c) for c in getattr(dataset, "classes", ())] or [
            f"class {n}" for n in range(max(self._labels, default=-1) + 1)
        ]

    def __len__(self) -> int:
        return len(self._labels)

    def picture(self, number: int) -> Picture:
        """Return one sample as a picture."""
        from backlight.core.store import displayable

        value = self._dataset[number][0]
        if hasattr(value, "convert"):
            return np.asarray(value.convert("RGB"))
        return displayable(np.asarray(value))

    def label(self, number: int) -> int:
        """Return the label the dataset gives."""
        return self._labels[number]

    def training(self, number: int) -> bool | None:
        """Say which part of the dataset this is, where that is known."""
        return self._training


def read_picture(path: Path) -> Picture:
    """Return a file in any format Pillow reads as (H, W, 3) uint8; FormatError if it cannot be read."""
    from PIL import Image

    if not path.exists():
        raise FormatError(f"{path} does not exist; expected a picture")
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(f"{path} is not a readable picture ({error})") from error


def turned_by_viewers(path: Path) -> bool:
    """Say whether a picture's EXIF data ask to show it turned or mirrored; False where it cannot be read."""
    from PIL import ExifTags, Image

    try:
        with Image.open(path) as image:  # reads no pixels
            return "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _labels(dataset: Any) -> Iterable[Any]:
    """Return the labels of a dataset without reading its pictures, where it keeps them apart."""
    for name in ("targets", "labels", "_labels"):  # as torchvision's and most others call them
        if (found := getattr(dataset, name, None)) is not None:
            return list(found)
    return (dataset[number][1] for number in range(len(dataset)))


def open_source(spec: str, *, download: Path | None = None, split: str | None = None) -> Source:
    """Open a folder of class sub-folders, an HDF5 file, a torchvision dataset's name, or `module:factory`.

    download: folder that torchvision datasets may be downloaded into; without, they must lie in ./datasets.
    split: "train" or "test" part of a torchvision dataset ("train" by default), or of a folder of such.
    """
    if is_factory(spec) and not Path(spec).exists():
        made = load_factory(spec, "data")
        made = build(made, spec, "data") if callable(made) else made
        return made if isinstance(made, Source) else DatasetSource(made, spec.rpartition(":")[2])
    path = Path(spec)
    if path.is_dir():
        part = next((path / name for name in SPLITS.get(split or "", ()) if (path / name).is_dir()), None)
        return ImageFolder(path) if part is None else ImageFolder(part, split == "train")
    if path.is_file():
        return Hdf5Source(path)
    if spec in TORCHVISION:
        return DatasetSource(
            torchvision_dataset(spec, download or Path("datasets"), download is not None, split or "train"),
            spec,
            split != "test",
        )
    hint = (
        "no such file or folder"
        if path.parent != Path() or path.suffix
        else unknown("dataset", spec, TORCHVISION)
    )
    raise RequestError(
        f"data {spec!r}: {hint}; expected a folder of class folders, an HDF5 file or module:factory"
    )
