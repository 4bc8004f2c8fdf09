"""What a person wants to know about a sample beside its picture: label, prediction, confidence, file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError

if TYPE_CHECKING:
    from backlight.core.project import Project


@dataclass(frozen=True)
class Sample:
    """One sample of a project's dataset.

    index: position in the dataset. label: name of its class, or None where that was not recorded.
    predicted: names of up to three most likely classes with their probability, best first.
    file_name: where the sample came from.
    """

    index: int
    label: str | None
    predicted: tuple[tuple[str, float], ...]
    file_name: str

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is the label, or None where one of them is missing."""
        return self.predicted[0][0] == self.label if self.predicted and self.label is not None else None


def probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return class probabilities (n, K) of model outputs (n, K), which may be probabilities already."""
    values = np.clip(np.nan_to_num(np.asarray(outputs, dtype=np.float64)), -1e100, 1e100)
    if values.size and values.min() >= 0 and np.allclose(values.sum(axis=1), 1.0, atol=1e-3):
        return values
    shifted = np.exp(values - values.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def describe(project: Project, indices: Sequence[int]) -> list[Sample]:
    """Describe the samples at `indices`; what a file lacks is left out, an unknown index raises."""
    for index in indices:
        if not 0 <= index < len(project.dataset):
            raise RequestError(
                f"project {project.name!r} has {len(project.dataset)} samples, none numbered {index}"
            )
    labels = _labels(project)
    return [
        Sample(
            i,
            None if labels is None else project.labels.label(int(labels[i])).name,
            top,
            project.dataset.file_name(i),
        )
        for i, top in zip(indices, _predicted(project, indices), strict=True)
    ]


def _labels(project: Project) -> NDArray[Any] | None:
    try:
        return project.dataset.labels
    except FormatError:
        return None


def _predicted(project: Project, indices: Sequence[int]) -> list[tuple[tuple[str, float], ...]]:
    try:
        outputs = project.attributions.predictions(np.asarray(indices, dtype=np.int64))
    except FormatError:
        return [()] * len(indices)
    if outputs.shape[1] == 0:
        return [()] * len(indices)
    return [
        tuple((project.labels.label(int(k)).name, float(row[k])) for k in np.argsort(-row, kind="stable")[:3])
        for row in probabilities(outputs)
    ]
