"""Pictures through a model: the relevance of each, in every way, for each class that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backlight.app.heatmap.ways import Way
from backlight.core.errors import RequestError
from backlight.core.explainer import Attribution, Explainer
from backlight.core.projects.sample import probabilities
from backlight.core.run.explaining import beside
from backlight.core.run.preparing import chosen_canonizers, chosen_composite
from backlight.core.sources.data import Picture, read_picture
from backlight.core.sources.labels import Labels
from backlight.core.sources.preprocessing import Preprocessing
from backlight.core.sources.sizes import fitting


@final
@dataclass(frozen=True)
class Explained:
    """One picture and its explanations.

    picture: as the model saw it, (H, W, 3). output: (classes,). classes: (K,) explained, K the same for every
    way. relevance: for each way and class, (C, H, W), the ways first.
    """

    name: str
    picture: Picture
    output: NDArray[Any]
    classes: tuple[int, ...]
    relevance: tuple[NDArray[Any], ...]

    def said(self, labels: Labels, number: int) -> str:
        """Return the name of a class and, where there are several, how probable the model thinks it."""
        if len(self.output) == 1:
            return labels.name(number)
        return f"{labels.name(number)} {probabilities(self.output[None])[0, number]:.0%}"

    @property
    def predicted(self) -> int:
        """The class of the largest output."""
        return int(self.output.argmax())


@final
@dataclass(frozen=True)
class Explanations:
    """All pictures with their explanations; ways: how each is called."""

    pictures: tuple[Explained, ...]
    ways: tuple[str, ...]


def read_pictures(paths: Sequence[Path]) -> dict[str, Picture]:
    """Read all pictures, by the shortest name that tells them apart; FormatError naming one that is none."""
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"picture {twice} is given twice")
    return dict(zip(names, map(read_picture, paths), strict=True))


def explain_pictures(
    model: nn.Module,
    pictures: dict[str, Picture],
    ways: Sequence[Way],
    *,
    canonizers: Sequence[str] = ("auto",),
    targets: Sequence[str] = ("predicted",),
    labels: Labels,
    preprocessing: Preprocessing,
    report: Callable[[int, int, str], object],
) -> Explanations:
    """Explain every picture in every way; a method that takes no composite is asked once."""
    fitted = {name: preprocessing.fit(picture) for name, picture in pictures.items()}
    found: dict[str, list[Attribution]] = {}
    indifferent: set[str] = set()

    def classes(output: Tensor) -> Tensor:
        return torch.cat([labels.explained(output, target).classes for target in targets], 1)

    for number, way in enumerate(ways):
        if way.method in indifferent:
            continue
        explainer = Explainer(
            model,
            composite=chosen_composite(way.composite, preprocessing),
            method=way.method,
            canonizers=chosen_canonizers(canonizers),
            **way.parameters,
        )
        made = []
        with explainer:
            for done, (name, picture) in enumerate(fitted.items()):
                report(number * len(fitted) + done, len(ways) * len(fitted), name)
                made.append(_explained(explainer, preprocessing.inputs(picture[None]), classes))
        used = bool(made[0].coverage.operations)
        indifferent |= set() if used or way.composite == "none" else {way.method}
        found.setdefault(way.label(used), made)
    report(len(ways) * len(fitted), len(ways) * len(fitted), "")
    joined = [
        _joined(name, picture, [made[number] for made in found.values()])
        for number, (name, picture) in enumerate(fitted.items())
    ]
    return Explanations(tuple(joined), tuple(found))


def _explained(explainer: Explainer, inputs: Tensor, classes: Callable[[Tensor], Tensor]) -> Attribution:
    inputs = beside(explainer.model, inputs)
    with fitting(explainer.model, inputs):
        return explainer.explain(inputs, classes)


def _joined(name: str, picture: Picture, found: Sequence[Attribution]) -> Explained:
    """Put the explanations of one picture together."""
    return Explained(
        name,
        picture,
        _array(found[0].output[0]),
        tuple(found[0].target[0].tolist()),
        tuple(_array(values) for one in found for values in one.relevance[0]),
    )


def _array(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.detach().float().cpu())
