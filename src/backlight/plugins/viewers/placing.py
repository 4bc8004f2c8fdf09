"""Where an explanation belongs among those of a class: its nearest samples, as the analysis compares them."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.analysis_tasks import relevance_in
from backlight.core.errors import BacklightError, FormatError, RequestError
from backlight.core.pictures.heatmap import channel_sum
from backlight.core.pipeline import Pipeline, pipeline
from backlight.core.project import Category, Project

NEAREST = 5
BLOCK = 256
"""Samples whose relevance is prepared at a time."""

TOGETHER = 256 << 20
"""Bytes of relevance prepared at once where the analysis treats them together."""

USUAL = "spray"
"""The pipeline whose preparation stands in where an analysis file does not say how it came to be."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Placed:
    """The samples nearest to an explanation, nearest first.

    index: (k,) dataset indices. distance: (k,) in the space that the analysis compares relevance in.
    weights: (k,) as 1 / distance, sum 1; its place on any map is the mean of theirs, weighted by them.
    compared: how many samples were. steps: names of the steps that lead from relevance to that space.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]
    weights: NDArray[np.float64]
    compared: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Front:
    """The steps of an analysis from relevance to what its neighbour search compares."""

    chain: Pipeline | None
    source: str
    seed: int

    @classmethod
    def of(cls, category: Category) -> Front:
        """Read the front of the pipeline that a category was analysed by; else the usual one."""
        recorded = category.provenance
        try:
            document = json.loads(str(recorded.get("pipeline", "null")))
        except ValueError as error:
            raise FormatError(f"the analysis of {category.name!r} names no pipeline ({error})") from error
        chain = Pipeline.from_dict(document) if document else pipeline(USUAL)
        bound = chain.bindings()
        search = next((step for step in chain.steps if step.processor.stage == "neighbours"), None)
        if search is None:
            raise RequestError(f"analysis {chain.name!r} searches no neighbours, so nothing can be placed")
        source = next(iter(bound[search.name].values()))
        step = source.rpartition(".")[0]
        return cls(chain.until(step) if step else None, source, int(recorded.get("seed", 0)))

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps."""
        return () if self.chain is None else tuple(step.name for step in self.chain.steps)

    def __call__(self, relevance: Array) -> NDArray[np.float32]:
        """Return relevance (n, C, H, W), or (n, *layer), as points (n, d)."""
        found: Any = relevance
        if self.chain is not None:
            step, _, output = self.source.rpartition(".")
            found = self.chain(relevance, seed=self.seed)[step][output]
        return np.asarray(found, dtype=np.float32).reshape(len(relevance), -1)


def space_of(category: Category) -> str | None:
    """Return the layer whose relevance the analysis compares, or None where it is that of pictures."""
    return str(category.provenance["space"]) if category.provenance.get("space") else None


def place(project: Project, category: Category, relevance: Array) -> Placed:
    """Place the relevance of a picture, (C, H, W), or of the layer of `space_of`, among a class's.

    Raises RequestError where its shape is another than theirs or the class has no samples.
    """
    if not len(category.index):
        raise RequestError(f"class {category.name!r} has no samples to be placed among")
    one = _like(relevance, relevance_in(project, space_of(category), category.index[:1])[0])
    front = Front.of(category)
    rows, points, own = _points(project, category, front, one[None])
    distance = np.linalg.norm((points - own).astype(np.float64), axis=1)
    nearest = np.argsort(distance, kind="stable")[:NEAREST]
    near = distance[nearest]
    weights = 1.0 / np.maximum(near, 1e-9 * (near.max() or 1.0))
    return Placed(category.index[rows[nearest]], near, weights / weights.sum(), len(rows), front.steps)


def _points(
    project: Project, category: Category, front: Front, one: Array
) -> tuple[NDArray[np.intp], Array, Array]:
    """Return rows of the category, their points, and the point of the new one."""
    if _separate(project, category, front):
        return np.arange(len(category.index)), _kept(project, category, front), front(one)[0]
    # Steps that learn from all samples, as a PCA does, learn from as many as fit, with the new one.
    most = max(2, TOGETHER // max(1, one.nbytes))
    rows = np.unique(np.linspace(0, len(category.index) - 1, min(len(category.index), most)).astype(np.intp))
    others = relevance_in(project, space_of(category), category.index[rows])
    points = front(np.concatenate([others, one]))
    return rows, points[:-1], points[-1]


@functools.lru_cache(maxsize=256)
def _separate(project: Project, category: Category, front: Front) -> bool:
    """Try whether the front treats each sample on its own, so that blocks give the same as all at once."""
    some = relevance_in(project, space_of(category), category.index[:4])
    try:
        together, alone = front(some), [front(some[k : k + 1])[0] for k in range(len(some))]
    except (BacklightError, ValueError):  # such as components of a single sample
        return False
    return all(
        a.shape == b.shape and np.allclose(a, b, atol=1e-6) for a, b in zip(together, alone, strict=True)
    )


@functools.lru_cache(maxsize=4)
def _kept(project: Project, category: Category, front: Front) -> NDArray[np.float32]:
    """Return the points of all samples of a category, (S, d); of the latest few they are kept."""
    index, space = category.index, space_of(category)
    blocks = (index[k : k + BLOCK] for k in range(0, len(index), BLOCK))
    return np.concatenate([front(relevance_in(project, space, block)) for block in blocks])


def _like(relevance: Array, stored: Array) -> NDArray[np.float32]:
    """Return relevance in the form in which the run kept its own: per channel, or summed over them."""
    found = np.nan_to_num(np.asarray(relevance, dtype=np.float32))
    if stored.shape[0] == 1 and found.shape[0] != 1:
        found = channel_sum(found)[None].astype(np.float32)
    if found.shape != stored.shape:
        raise RequestError(
            f"the relevance is {_times(found)}, that of the run {_times(stored)}, so it cannot be placed"
        )
    return found


def _times(array: Array) -> str:
    return " x ".join(map(str, array.shape))


def likeness(relevance: Array, stored: Array) -> float:
    """Return the cosine of two heatmaps summed over channels: 1 for the same up to scale."""
    first, second = channel_sum(relevance).ravel(), channel_sum(stored).ravel()
    if first.shape != second.shape:
        return float("nan")
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size > 0 else float("nan")
