"""Names of a model's classes: from a file, or from what is known about its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.targets import Explained, explained


@final
class Labels:
    """The names of a model's outputs, as many as are known; an output without one is called by its number."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)

    def name(self, index: int) -> str:
        """Return the name of one output."""
        return self.names[index] if index < len(self.names) else f"class {index}"

    def index(self, name: str) -> int:
        """Return the output of a name; RequestError with close matches, or where two outputs share it."""
        found = [index for index, known in enumerate(self.names) if known == name]
        if len(found) > 1:
            raise RequestError(
                f"class {name!r} is the name of outputs {' and '.join(map(str, found))}; give a number"
            )
        if not self.names:
            raise RequestError(f"unknown class {name!r}: give its number, or labels that name the outputs")
        if not found:
            raise RequestError(unknown("class", name, self.names))
        return found[0]

    def explained(self, output: Any, target: str) -> Explained:
        """Say what a target means for a model's output, (N, classes).

        target: predicted, a number, a name, top-K or all; names go before numbers.
        """
        classes = output.shape[-1]
        if self.names and len(self.names) != classes:
            raise RequestError(f"{len(self.names)} classes have a name, but the model has {classes} outputs")
        if target in self.names:
            return explained(output, self.index(target))
        if target.isdecimal():
            return explained(output, int(target))
        if target in ("predicted", "all") or target.startswith("top-"):
            return explained(output, target)
        return explained(output, self.index(target))


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names in a file: one a line, or JSON.

    JSON: a list of names; number -> name, or number -> [id, name] as Keras writes ImageNet's; or a list of
    {"index", "name"} as in a ViRelAy label map. Numbers run from 0 without a gap. Raises FormatError.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".json":
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        found = json.loads(text)
        if isinstance(found, list) and all(isinstance(row, Mapping) for row in found):
            found = {row["index"]: row["name"] for row in found}
        if isinstance(found, Mapping):
            by_number = {int(number): name for number, name in found.items()}
            found = [by_number[number] for number in range(len(by_number))]
        return tuple(_name(name) for name in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(
            f"labels {path} cannot be used ({error!r}); expected one name a line, or JSON such as "
            '["cat", "dog"] or {"0": "cat", "1": "dog"}'
        ) from error


def imagenet() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes, as torchvision writes them."""
    from torchvision import models

    return tuple(models.get_model_weights("resnet18").DEFAULT.meta["categories"])


def _name(value: Any) -> str:
    name = value[-1] if isinstance(value, list) and value else value
    if not isinstance(name, str) or not name:
        raise TypeError(f"{value!r} is no name")
    return name
