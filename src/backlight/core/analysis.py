"""Run a pipeline over every class of a project, write the analysis file, rank the classes by suspicion.

Classes are independent tasks behind the executor seam. What a task finished is in the cache, so a killed
run resumes with the class that was in flight. Files appear whole or not at all; earlier results stay until
then.
"""

from __future__ import annotations

import copy
import functools
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from backlight.core.analysis_file import Finding, Record, file_attributes, finding, record, write_record
from backlight.core.errors import BacklightError, FormatError, RequestError, unknown
from backlight.core.pipeline import Pipeline, pipeline
from backlight.core.pipelines.cache import Cache
from backlight.core.pipelines.executor import executor
from backlight.core.project import ANALYSIS_FILE, Label, LabelMap, Project, open_project
from backlight.core.store import atomic_hdf5, atomic_text, disk_errors, exclusive, open_hdf5

Array = NDArray[Any]
Grouping = Literal["label", "prediction"]
Progress = Callable[[int, int, str], None]
"""Called with the number of finished classes, of all, and the name of the latest ("" at the start)."""

CACHE_FOLDER = "cache"
CACHE_LIMIT = 20 * 2**30
"""Bytes that the cache of a run may take after an analysis."""


@dataclass(frozen=True)
class Analysed:
    """Where the results are, and the categories by falling suspicion.

    reused: categories of which nothing had to be computed. computed: steps that were, of `steps` in all.
    replaced: categories whose earlier results are gone: they were made in another way, and not asked for now.
    """

    path: Path
    method: str
    findings: tuple[Finding, ...]
    reused: int
    computed: int
    steps: int
    replaced: int


@dataclass(frozen=True)
class _Task:
    """All that one category's analysis depends on."""

    project: Path
    category: str
    indices: Array
    pipeline: Pipeline
    seed: int
    cache: Path | None
    space: str | None
    by: Grouping


def analyze(
    project: str | Path | Project,
    chain: str | Pipeline = "spray",
    *,
    space: str | None = None,
    by: Grouping = "label",
    classes: Sequence[str] = (),
    workers: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
    cache: bool = True,
    progress: Progress | None = None,
) -> Analysed:
    """Analyse every class (or `classes`, by name, number or category) and add the results to the project.

    chain: a preset's name or a pipeline. space: a layer whose relevance was kept, which is analysed in place
    of the input's and has an analysis of its own; heatmaps stay those of the input. by: what makes the
    classes. workers: processes, None as many as pay. cluster: a dask scheduler's address or "local:N", whose
    workers share this file system.
    Other classes of an earlier analysis with the same settings are kept. Raises RequestError for unknown
    names and for a project without attributions or, by prediction, without predictions.
    """
    path = project.path if isinstance(project, Project) else Path(project)
    steps = pipeline(chain) if isinstance(chain, str) else chain
    method = steps.name if space is None else f"{steps.name} ({space})"
    with open_project(path) as opened:
        groups = _choose(_groups(opened, by), classes)
        shared = opened.path.resolve()  # workers elsewhere may have another current folder
        folder = shared.parent / CACHE_FOLDER if cache else None
        tasks = [
            _Task(shared, label.category, indices, steps, seed, folder, space, by)
            for label, indices in groups
        ]
        cost = _cost(opened, space, [len(task.indices) for task in tasks])
        file, labels = opened.path, opened.labels
    attributes = file_attributes(steps, seed, by, metadata.version("backlight"))
    if space is not None:
        attributes["space"] = space
    run = executor(workers, len(tasks), cost, cluster).map
    with disk_errors(file.parent, "earlier results"):
        target, computed, replaced = _write(file, method, tasks, attributes, labels, run, progress)
        if folder:
            Cache(folder).trim(CACHE_LIMIT)
    findings, everything = ranking(target, labels), len(steps.steps) * len(tasks)
    return Analysed(target, method, findings, computed.count(0), sum(computed), everything, replaced)


def ranking(path: Path, labels: LabelMap) -> tuple[Finding, ...]:
    """Read what an analysis file says about its categories, by falling suspicion. labels: for their names."""
    with open_hdf5(path) as file:
        findings = [finding(file[key], _name(labels, key)) for key in file]
    return tuple(sorted(findings, key=lambda row: (-row.suspicion, row.category)))


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


def _choose(groups: list[tuple[Label, Array]], classes: Sequence[str]) -> list[tuple[Label, Array]]:
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


def relevance_in(project: Project, space: str | None, indices: Array) -> Array:
    """Return the relevance of the input, (n, C, H, W), or of a layer, (n, channels) or (n, *layer)."""
    found = project.attributions
    return found.relevances(indices) if space is None else found.layer(space, indices)


def _cost(project: Project, space: str | None, sizes: Sequence[int]) -> float:
    """Estimate the seconds that classes of these sizes take on one core, to an order of magnitude."""
    first = project.attributions.indices[:1]
    features = relevance_in(project, space, first).size
    return sum(0.5 + n / 500 + n * n * features * 2e-11 for n in sizes)


@functools.lru_cache(maxsize=1)
def _opened(path: Path) -> Project:
    return open_project(path)


def _analyse(task: _Task) -> tuple[Record, int]:
    """Analyse one category; return its record and how many steps did not come from the cache."""
    project = _opened(task.project)
    relevance = relevance_in(project, task.space, task.indices)
    finite = np.isfinite(relevance).reshape(len(relevance), -1).all(axis=1)
    indices = task.indices[finite]
    try:
        results = task.pipeline(
            relevance if finite.all() else relevance[finite],
            prediction=_predicted(project, indices),
            label=project.dataset.labels[indices] if task.by == "prediction" else None,  # else all are one
            train=project.attributions.training(indices),
            seed=task.seed,
            cache=Cache(task.cache) if task.cache else None,
        )
    except BacklightError as error:
        raise type(error)(f"class {_name(project.labels, task.category)!r}: {error}") from error
    return record(task.category, indices, task.indices[~finite], results), len(results.computed)


def _write(
    path: Path,
    method: str,
    tasks: Sequence[_Task],
    attributes: Mapping[str, Any],
    labels: LabelMap,
    run: Callable[..., Any],
    progress: Progress | None,
) -> tuple[Path, list[int], int]:
    """Write the analysis file and list it in the project file, beside what others may write meanwhile.

    Return its path, how many steps were computed for each category, and of how many categories earlier
    results are gone, as they were made in another way.
    """
    report = progress or (lambda done, total, name: None)
    report(0, len(tasks), "")
    computed: list[int] = []
    draft = path.with_name(f".{uuid.uuid4().hex}.{ANALYSIS_FILE}")
    with ExitStack() as held:
        held.callback(draft.unlink, missing_ok=True)
        held.callback(_close, tasks[0].project)
        with atomic_hdf5(draft) as file:
            file.attrs.update(attributes)
            for done, (content, steps) in enumerate(run(_analyse, tasks), start=1):
                write_record(file, content)
                computed.append(steps)
                report(done, len(tasks), _name(labels, content.category))
            held.enter_context(exclusive(path))  # until the file has its name: others may finish just now
            now = held.enter_context(open_project(path))
            target = _target(now, method)
            replaced = _keep(target, file, attributes, {task.category for task in tasks})
        draft.replace(target)
        _register(path, now.document, method, target)
    return target, computed, replaced


def _close(project: Path) -> None:
    """Close what tasks in this process have opened."""
    if _opened.cache_info().currsize:
        _opened(project).close()
        _opened.cache_clear()


def _keep(old: Path, file: h5py.File, attributes: Mapping[str, Any], analysed: set[str]) -> int:
    """Copy the categories that this analysis leaves alone from an earlier one made in the same way.

    Return how many it does not copy, as the earlier one was made in another way.
    """
    try:
        earlier = open_hdf5(old)
    except FormatError:  # none, or one that can't be read: nothing to keep
        return 0
    with earlier:
        others = earlier.keys() - analysed
        if {name: earlier.attrs.get(name) for name in attributes} != dict(attributes):
            return len(others)
        for category in others:
            earlier.copy(category, file)
    return 0


def _target(project: Project, method: str) -> Path:
    """Return the file for this method: the one it has, or a new one that no other method uses."""
    mine = project.analyses.get(method)
    if mine and len(mine.paths) == 1 and mine.paths[0].parent == project.root:
        return mine.paths[0]
    taken = {path for analysis in project.analyses.values() for path in analysis.paths}
    name = re.sub(r"[^\w.=-]+", "-", method).strip("-")
    names = (
        ANALYSIS_FILE,
        f"analysis-{name}.h5",
        *(f"analysis-{name}-{n}.h5" for n in range(2, len(taken) + 2)),
    )
    return next(path for path in map(project.root.joinpath, names) if path not in taken)


def _register(path: Path, document: Mapping[str, Any], method: str, target: Path) -> None:
    """List the analysis in the project file, keeping everything else that is in it."""
    changed = copy.deepcopy(dict(document))
    listed = changed["project"].get("analyses") or []
    source = target.relative_to(path.parent).as_posix()
    if any(entry["analysis_method"] == method and source in entry["sources"] for entry in listed):
        return
    others = [entry for entry in listed if entry["analysis_method"] != method]
    changed["project"]["analyses"] = [*others, {"analysis_method": method, "sources": [source]}]
    atomic_text(path, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True))


def _name(labels: LabelMap, category: str) -> str:
    label = labels.of_category(category)
    return label.name if label else category
