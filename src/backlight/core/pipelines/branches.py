"""Steps of one run side by side: those that do not wait for each other are tasks behind the executor seam.

They meet in the cache: a task finds there what steps before it gave, and leaves its own result there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from backlight.core.pipeline import Pipeline
from backlight.core.processor import Processor

_SMALL = ("preprocessing", "affinity", "laplacian", "score", "card")
"""Stages that take less than reading their inputs in another process; who needs them computes them."""


def waves(pipeline: Pipeline) -> list[tuple[str, ...]]:
    """Return groups of steps to compute one group after the other, each step of a group as a task of its own.

    Every group waits for those before it. A step that nothing can run beside is in no group, except where
    several tasks of the next one would compute it again. A pipeline without branches has no groups.
    """
    bound, depth = pipeline.bindings(), {"": 0}
    groups: list[list[str]] = []
    for step in pipeline.steps:
        earlier = max((depth[s.rpartition(".")[0]] for s in bound[step.name].values()), default=0)
        depth[step.name] = earlier + (step.processor.stage not in _SMALL)
        if depth[step.name] > len(groups):
            groups.append([])
        if depth[step.name] > earlier:
            groups[earlier].append(step.name)
    following = pairwise([*groups, []])
    return [tuple(group) for group, after in following if len(group) > 1 or len(after) > 1]


def copies(pipeline: Pipeline, groups: Sequence[tuple[str, ...]]) -> int:
    """Return how often one group has the same processor: that many tasks are known to take about as long."""
    kinds = (Counter(_kind(pipeline.step(name).processor) for name in group) for group in groups)
    return max((max(kind.values()) for kind in kinds), default=1)


def _kind(processor: Processor) -> type:
    """Return the class that computes: of an estimator, its own."""
    return type(getattr(processor, "estimator", processor))
