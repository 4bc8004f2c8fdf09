"""One batch through the model: rows to keep, and by name the samples whose relevance is not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backlight.core.coverage import Coverage
from backlight.core.errors import EngineError
from backlight.core.explainer import Attribution, Explainer
from backlight.core.run.reading import Batch
from backlight.core.run.settings import Output, Settings
from backlight.core.run.spaces import as_kept

LAYERS = "layer"
"""Group of an attribution file that holds the relevance of layers by name."""


@final
@dataclass(frozen=True)
class Rows:
    """What is kept of one batch: arrays whose first axis is the samples explained, and who is missing."""

    arrays: Mapping[str, NDArray[Any]]
    failures: Mapping[int, str]
    coverage: Coverage


def explain_batch(explainer: Explainer, settings: Settings, batch: Batch) -> Rows:
    """Explain the readable samples of a batch; one without finite relevance is left out and named."""
    numbers = batch.numbers[batch.readable]
    if not len(numbers):
        return Rows({}, batch.failures, Coverage(()))
    labels = batch.labels[batch.readable]
    try:
        return _explain(explainer, settings, numbers, batch.inputs, labels, batch.failures)
    except EngineError as error:
        if len(numbers) == 1:
            return Rows({}, {**batch.failures, int(numbers[0]): str(error)}, Coverage(()))
    alone = [slice(row, row + 1) for row in range(len(numbers))]
    ones = np.ones(1, dtype=bool)
    singles = [Batch(numbers[s], batch.pictures[:0], ones, batch.inputs[s], labels[s], {}) for s in alone]
    return _joined([explain_batch(explainer, settings, single) for single in singles], batch.failures)


def _explain(
    explainer: Explainer,
    settings: Settings,
    numbers: NDArray[np.int64],
    inputs: Tensor,
    labels: NDArray[np.int64],
    failures: Mapping[int, str],
) -> Rows:
    placed = beside(explainer.model, inputs)
    truth = torch.from_numpy(labels).to(placed.device)
    explained = explainer.explain(placed, settings.explained, labels=truth, layers=settings.output.layers)
    kept = _kept(explained, explainer.model, settings.output)
    if explainer.composite is not None:
        kept["conservation_error"] = conservation_error(explained)
    fits = (
        torch.stack([t.reshape(len(numbers), -1).isfinite().all(1) for t in kept.values()])
        .all(0)
        .cpu()
        .numpy()
    )
    reason = f"relevance does not fit {settings.output.precision}"
    arrays: dict[str, NDArray[Any]] = {key: tensor.cpu().numpy()[fits] for key, tensor in kept.items()}
    arrays["index"] = numbers[fits].astype(np.uint32)
    arrays["label"] = labels[fits].astype(np.uint16)
    return Rows(arrays, {**failures, **{int(n): reason for n in numbers[~fits]}}, explained.coverage)


def beside(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return inputs on the device and in the precision of a model's first parameter."""
    first = next((p for p in model.parameters() if p.is_floating_point()), inputs)
    if first.device.type == "cuda":
        inputs = inputs.pin_memory()
    return inputs.to(first.device, first.dtype, non_blocking=True)


def _joined(parts: Sequence[Rows], failures: Mapping[int, str]) -> Rows:
    """Join batches of one sample each, of which those that failed have no arrays."""
    for part in parts:
        failures = {**failures, **part.failures}
    filled = [part for part in parts if part.arrays]
    if not filled:
        return Rows({}, failures, Coverage(()))
    arrays = {key: np.concatenate([part.arrays[key] for part in filled]) for key in filled[0].arrays}
    return Rows(arrays, failures, filled[0].coverage)


def _kept(explained: Attribution, model: nn.Module, output: Output) -> dict[str, Tensor]:
    precision = torch.float16 if output.precision == "float16" else torch.float32
    relevance = explained.relevance.float()
    if output.channels == "sum":
        relevance = relevance.sum(1, keepdim=True)
    found = {"attribution": relevance.to(precision), "prediction": explained.output.float()}
    for name, layer in explained.layers.items():
        found[f"{LAYERS}/{name}"] = as_kept(layer, model, name, output.pooling).to(precision)
    return found


def conservation_error(explained: Attribution) -> Tensor:
    """Return |Σ relevance − value| / |value| of every sample, (N,)."""
    value = explained.value.double()
    total = explained.relevance.double().flatten(1).sum(1)
    error: Tensor = (total - value).abs() / value.abs().clamp(min=1e-30)
    return error.float()
