"""One setting of the self-test: two networks, one fooled, and what is seen in their maps of one class.

Both networks are explained on the same pictures of the victim class, of which half carry the artefact. Only
one has learnt from it: what the pipeline sees in the other one's maps is the control.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from backlight.app.selftest import measures
from backlight.app.selftest.network import accuracy, small_network, trained
from backlight.app.selftest.pictures import Pair
from backlight.core.composite import composite
from backlight.core.explainer import Explainer
from backlight.core.pipeline import Pipeline, Results
from backlight.core.sources.preprocessing import Preprocessing

_BATCH = 100
LEARNT = 0.05
"""A network has learnt the artefact when inverse poisoning costs it more accuracy than this."""

Build = Callable[[], nn.Module]


@final
@dataclass(frozen=True)
class Candidate:
    """A pipeline that is tested; layer: analyse the relevance of this layer instead of the input's."""

    steps: Pipeline
    layer: str | None = None

    @property
    def name(self) -> str:
        """The pipeline's name, with the layer."""
        return f"{self.steps.name}@{self.layer}" if self.layer else self.steps.name

    def judged(self) -> Pipeline:
        """Return the pipeline without what only draws: the clusterings, the scores, and what they need."""
        ends = [s.name for s in self.steps.steps if s.processor.stage in ("clustering", "score")]
        kept = {step.name for end in ends for step in self.steps.until(end).steps}
        return dataclasses.replace(self.steps, steps=tuple(s for s in self.steps.steps if s.name in kept))


@final
@dataclass(frozen=True)
class Seen:
    """What the pipeline makes of one network's maps (see measures.py).

    accuracy, inverse: of the network on test pictures, without and with the artefact on the other class.
    suspicion, homophily, tau, contrast: the class's scores. f1: of the best cluster; suspicious_f1: of the
    one pointed at.
    """

    accuracy: float
    inverse: float
    suspicion: float
    homophily: float
    tau: float
    contrast: float
    found: float
    f1: float
    suspicious_f1: float
    knn: float


@final
@dataclass(frozen=True)
class Trial:
    """The figures of one setting: which pipeline and class, what was planted, and both networks."""

    pipeline: str
    victim: str
    other: str
    artefact: str
    strength: float
    seed: int
    maps: int
    clean: Seen
    poisoned: Seen

    @property
    def drop(self) -> float:
        """Accuracy that inverse poisoning costs the poisoned network, more than it costs the clean one."""
        return (self.poisoned.accuracy - self.poisoned.inverse) - (self.clean.accuracy - self.clean.inverse)

    @property
    def learnt(self) -> bool:
        """Say whether the network uses the artefact; otherwise there is nothing to find."""
        return self.drop > LEARNT

    @property
    def natural(self) -> bool:
        """Say whether even the clean network goes by what was planted; its maps are no control then."""
        return self.clean.accuracy - self.clean.inverse > LEARNT


def networks(
    pair: Pair, scale: Preprocessing, *, epochs: int, seed: int, build: Build = small_network
) -> tuple[nn.Module, nn.Module]:
    """Train a network on the pictures as they are and one on the planted ones."""
    clean, poisoned = (
        trained(build, pictures, pair.labels, scale, epochs=epochs, seed=seed)
        for pictures in (pair.train, pair.poisoned())
    )
    return clean, poisoned


def run(
    pair: Pair,
    models: tuple[nn.Module, nn.Module],
    candidates: Sequence[Candidate],
    scale: Preprocessing,
    *,
    artefact: str,
    strength: float,
    maps: int,
    seed: int,
) -> list[Trial]:
    """Explain both networks (clean, poisoned) on up to `maps` pictures of the victim; judge each pipeline."""
    rows = np.flatnonzero(pair.labels == 1)[:maps]
    pictures, planted = pair.poisoned()[rows], pair.planted[rows]
    layers = tuple(dict.fromkeys(c.layer for c in candidates if c.layer))
    seen: dict[str, list[Seen]] = {candidate.name: [] for candidate in candidates}
    for model in models:
        found = relevances(model, pictures, scale, layers)
        scores = {
            "accuracy": accuracy(model, pair.test, pair.test_labels, scale),
            "inverse": accuracy(model, pair.inverse(), pair.test_labels, scale),
        }
        for candidate in candidates:
            results = candidate.judged()(found[candidate.layer or ""], seed=seed)
            seen[candidate.name].append(Seen(**scores, **judge(results, planted)))
    return [
        Trial(name, pair.names[1], pair.names[0], artefact, strength, seed, len(rows), clean, poisoned)
        for name, (clean, poisoned) in seen.items()
    ]


def relevances(
    model: nn.Module, pictures: NDArray[np.uint8], scale: Preprocessing, layers: Sequence[str] = ()
) -> dict[str, NDArray[np.float32]]:
    """Return epsilon-gamma-box relevance of class 1 by layer, "" for the input: pictures (N, H, W, 3)."""
    low, high = scale.bounds
    explainer = Explainer(model, composite=composite("epsilon-gamma-box", low=low, high=high))
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in ("", *layers)}
    for start in range(0, len(pictures), _BATCH):
        explained = explainer.explain(scale.inputs(pictures[start : start + _BATCH]), 1, layers=layers)
        for name, found in {"": explained.relevance, **explained.layers}.items():
            parts[name].append(found.detach().numpy())
    return {name: np.concatenate(found) for name, found in parts.items()}


def judge(results: Results, planted: NDArray[np.bool_]) -> Mapping[str, float]:
    """Compare what a pipeline returned for the maps with which of them are planted: (N,) bool."""
    labels, suspicious = _scored(results)
    pointed = labels == suspicious if suspicious >= 0 else np.zeros(len(planted), dtype=bool)
    return {
        "suspicion": _number(results, "suspicion"),
        "homophily": _number(results, "homophily"),
        "tau": _number(results, "tau"),
        "contrast": _number(results, "contrast"),
        "found": measures.found(labels, planted),
        "f1": measures.best_f1(labels, planted),
        "suspicious_f1": 2.0 * (pointed & planted).sum() / max(pointed.sum() + planted.sum(), 1),
        "knn": measures.agreement(_output(results, "neighbours"), planted),
    }


def _scored(results: Results) -> tuple[NDArray[Any], int]:
    """Return the labels that the suspicious cluster belongs to; without one, the last clustering's and -1."""
    bound = results.pipeline.bindings()
    for name, outputs in results.items():
        if "suspicious_cluster" in outputs and "labels" in bound[name]:
            source = bound[name]["labels"].partition(".")[0]
            return np.asarray(results[source]["labels"]), int(outputs["suspicious_cluster"])
    return np.asarray(list(results.cluster.values())[-1]), -1


def _number(results: Results, name: str) -> float:
    return next((float(outputs[name]) for outputs in results.values() if name in outputs), float("nan"))


def _output(results: Results, name: str) -> NDArray[Any]:
    return next(
        (np.asarray(outputs[name]) for outputs in results.values() if name in outputs), np.zeros((0, 0))
    )
