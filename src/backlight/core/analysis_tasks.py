"""One class of a project as a task of an analysis: what it depends on, and its computation in any process."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backlight.core.analysis_file import Record, record
from backlight.core.errors import BacklightError, RequestError, unknown
from backlight.core.pipeline import Pipeline
from backlight.core.pipelines.cache import Cache
from backlight.core.pipelines.executor import Executor
from backlight.core.project import Label, Project, open_project

Array = NDArray[Any]
Grouping = Literal["label", "prediction"]

CACHE_FOLDER = "cache"


@dataclass(frozen=True)
class Task:
    """All that one category's analysis depends on."""

    project: Path
    category: str
    name: str
    indices: Array
    pipeline: Pipeline
    seed: int
    cache: Path | None
    space: str | None
    by: Grouping


def tasks_of(
    project: Project,
    steps: Pipeline,
    *,
    space: str | None,
    by: Grouping,
    classes: Sequence[str],
    seed: int,
    cache: bool,
) -> list[Task]:
    """Return a task for every class, or for those named. Raises RequestError for unknown names."""
    path = project.path.resolve()  # workers elsewhere may have another current folder
    folder = path.parent / CACHE_FOLDER if cache else None
    return [
        Task(path, label.category, label.name, indices, steps, seed, folder, space, by)
        for label, indices in _chosen(_groups(project, by), classes)
    ]


def cost_of(project: Project, tasks: Sequence[Task]) -> float:
    """Estimate the seconds that tasks take on one core, to an order of magnitude."""
    first = project.attributions.indices[:1]
    features = relevance_in(project, tasks[0].space, first).size
    sizes = [len(task.indices) for task in tasks]
    return sum(0.5 + n / 500 + n * n * features * 2e-11 for n in sizes)


@dataclass
class Outcome:
    """What became of the tasks so far, by category. computed: names of the steps that did run."""

    computed: dict[str, set[str]] = field(default_factory=dict)
    failed: dict[str, BacklightError] = field(default_factory=dict)

    def enter(self, category: str, steps: set[str], error: BacklightError | None) -> None:
        """Enter what one task, or a part of it, came to."""
        if error is None:
            self.computed[category] = self.computed.get(category, set()) | steps
        else:
            self.failed[category] = error


def compute_ahead(
    tasks: Sequence[Task],
    groups: Sequence[tuple[str, ...]],
    run: Executor,
    report: Callable[[str], None],
) -> Outcome:
    """Compute steps of every category side by side into the cache. report: called with each that is done."""
    outcome = Outcome()
    for group in groups:
        parts = [
            (replace(task, pipeline=task.pipeline.until(step)), step)
            for task in tasks
            for step in group
            if task.category not in outcome.failed
        ]
        with closing(run.map(_fill_cache, [part for part, _ in parts])) as results:
            for (part, step), (steps, error) in zip(parts, results, strict=True):
                outcome.enter(part.category, steps, error)
                report(f"{part.name}, {step}")
    return outcome


def compute(task: Task) -> tuple[Record | None, set[str], BacklightError | None]:
    """Analyse one category; return its record, the steps that were computed for it, or what is wrong."""
    project = _opened(task.project)
    try:
        relevance = relevance_in(project, task.space, task.indices)
        finite = np.isfinite(relevance).reshape(len(relevance), -1).all(axis=1)
        indices = task.indices[finite]
        results = task.pipeline(
            relevance if finite.all() else relevance[finite],
            prediction=_predicted(project, indices),
            label=project.dataset.labels[indices] if task.by == "prediction" else None,  # else all are one
            train=project.attributions.training(indices),
            seed=task.seed,
            cache=Cache(task.cache) if task.cache else None,
        )
    except BacklightError as error:
        failure = type(error)(f"class {task.name!r}: {error}")
        failure.add_note(traceback.format_exc())  # not as its cause, whose frames would keep the maps
        return None, set(), failure
    return record(task.category, indices, task.indices[~finite], results), set(results.computed), None


def _fill_cache(task: Task) -> tuple[set[str], BacklightError | None]:
    """Analyse one category as `compute` does, but leave the results in the cache only."""
    return compute(task)[1:]


def close(project: Path) -> None:
    """Close what tasks in this process have opened."""
    if _opened.cache_info().currsize:
        _opened(project).close()
        _opened.cache_clear()


def relevance_in(project: Project, space: str | None, indices: Array) -> Array:
    """Return the relevance of the input, (n, C, H, W), or of a layer, (n, channels) or (n, *layer)."""
    found = project.attributions
    return found.relevances(indices) if space is None else found.layer(space, indices)


def _groups(project: Project, by: Grouping) -> list[tuple[Label, Array]]:
    """Return the classes that have attributions, by index, with their samples' dataset indices."""
    indices = project.attributions.indices
    if not len(indices):
        raise RequestError(f"project {project.name!r} has no attributions to analyse")
    if by == "label":
        numbers = project.dataset.labels[indices]
    elif by == "prediction":
        predicted = _predicted(project, indices)
        if predicted is None:
            raise RequestError(f"project {project.name!r} recorded no predictions; group by label")
        numbers = predicted
    else:
        raise RequestError(unknown("grouping", by, ("label", "prediction")))
    return [(project.labels.label(int(n)), indices[numbers == n]) for n in np.unique(numbers)]


def _chosen(groups: list[tuple[Label, Array]], classes: Sequence[str]) -> list[tuple[Label, Array]]:
    if not classes:
        return groups
    spelled = {key: label for label, _ in groups for key in (str(label.index), label.category, label.name)}
    for name in classes:
        if name not in spelled:
            raise RequestError(unknown("class", name, [label.name for label, _ in groups]))
    wanted = {spelled[name].category for name in classes}
    return [(label, indices) for label, indices in groups if label.category in wanted]


def _predicted(project: Project, indices: Array) -> Array | None:
    """Return the predicted class of every sample, (n,) int64, or None where outputs were not recorded."""
    outputs = project.attributions.predictions(indices)
    return outputs.argmax(axis=1) if outputs.shape[1] else None


@functools.lru_cache(maxsize=1)
def _opened(path: Path) -> Project:
    return open_project(path)
