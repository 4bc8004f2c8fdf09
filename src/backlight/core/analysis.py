"""Run a pipeline over every class of a project, write the analysis file, rank the classes by suspicion.

Classes are independent tasks behind the executor seam. What a task finished is in the cache, so a killed
run resumes with the class that was in flight. Files appear whole or not at all; earlier results stay until
then.
"""

from __future__ import annotations

import copy
import itertools
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import yaml

from backlight.core.analysis_file import Finding, file_attributes, finding, write_record
from backlight.core.analysis_tasks import (
    Grouping,
    Outcome,
    Task,
    close,
    compute,
    compute_ahead,
    cost_of,
    tasks_of,
)
from backlight.core.errors import BacklightError, FormatError
from backlight.core.pipeline import Pipeline, pipeline
from backlight.core.pipelines.branches import copies, waves
from backlight.core.pipelines.cache import Cache
from backlight.core.pipelines.executor import Executor, executor
from backlight.core.project import ANALYSIS_FILE, LabelMap, Project, open_project
from backlight.core.store import atomic_hdf5, atomic_text, disk_errors, exclusive, open_hdf5

Progress = Callable[[int, int, str], None]
"""Called with how many are finished of all classes, and steps where these are tasks, and the latest's name.

At the start the name is "".
"""

CACHE_LIMIT = 20 * 2**30
"""Bytes that the cache of a run may take after an analysis."""

_ENOUGH = 3
"""What ails the first so many classes, a missing package or a setting, ails all: no need to try the rest."""


@dataclass(frozen=True)
class Analysed:
    """Where the results are, and the categories by falling suspicion.

    reused: categories of which nothing had to be computed. computed: steps that were, of `steps` in all.
    replaced: categories whose earlier results are gone: they were made in another way, and not asked for now.
    failed: what is wrong with each category that could not be analysed, which has no results now.
    """

    path: Path
    method: str
    findings: tuple[Finding, ...]
    reused: int
    computed: int
    steps: int
    replaced: int
    failed: tuple[BacklightError, ...] = ()


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
    workers share this file system. cache: keep intermediate results; where workers outnumber classes, these
    also let branches of the pipeline run side by side.
    Other classes of an earlier analysis with the same settings are kept. Raises RequestError for unknown
    names and for a project without attributions or, by prediction, without predictions; where no class can
    be analysed, the error of the first.
    """
    path = project.path if isinstance(project, Project) else Path(project)
    steps = pipeline(chain) if isinstance(chain, str) else chain
    method = steps.name if space is None else f"{steps.name} ({space})"
    with open_project(path) as opened:
        tasks = tasks_of(opened, steps, space=space, by=by, classes=classes, seed=seed, cache=cache)
        cost = cost_of(opened, tasks)
        file, labels = opened.path, opened.labels
    attributes = file_attributes(steps, seed, by, metadata.version("backlight"))
    if space is not None:
        attributes["space"] = space
    groups = waves(steps) if cache else []
    beside = copies(steps, groups) if workers is None else max(map(len, groups), default=1)
    chosen = executor(workers, len(tasks) * beside, cost * beside, cluster)
    with disk_errors(file.parent, "earlier results"), chosen as run:
        groups = groups if run.workers > len(tasks) else []
        report = _counted(len(tasks) * (1 + sum(map(len, groups))), progress)
        report("")
        outcome = compute_ahead(tasks, groups, run, report)
        target, replaced = _write(file, method, tasks, attributes, run, outcome, report)
        if tasks[0].cache:
            Cache(tasks[0].cache).trim(CACHE_LIMIT)
    computed = [len(outcome.computed[category]) for category in outcome.computed.keys() - outcome.failed]
    return Analysed(
        target,
        method,
        ranking(target, labels),
        reused=computed.count(0),
        computed=sum(computed),
        steps=len(steps.steps) * len(computed),
        replaced=replaced,
        failed=tuple(outcome.failed.values()),
    )


def _counted(total: int, progress: Progress | None) -> Callable[[str], None]:
    """Return a function to call with the name of what is finished, at first with "" for nothing."""
    done = itertools.count()

    def report(name: str) -> None:
        if progress:
            progress(next(done), total, name)

    return report


def ranking(path: Path, labels: LabelMap) -> tuple[Finding, ...]:
    """Read what an analysis file says about its categories, by falling suspicion. labels: for their names."""
    with open_hdf5(path) as file:
        findings = [finding(file[key], _name(labels, key)) for key in file]
    return tuple(sorted(findings, key=lambda row: (-row.suspicion, row.category)))


def _write(
    path: Path,
    method: str,
    tasks: Sequence[Task],
    attributes: Mapping[str, Any],
    run: Executor,
    outcome: Outcome,
    report: Callable[[str], None],
) -> tuple[Path, int]:
    """Write the analysis file and list it in the project file, beside what others may write meanwhile.

    Return its path, and of how many categories earlier results are gone, as they were made in another way.
    What becomes of the tasks is entered in `outcome`; those that have failed are not computed again.
    """
    draft = path.with_name(f".{uuid.uuid4().hex}.{ANALYSIS_FILE}")
    with ExitStack() as held:
        held.callback(draft.unlink, missing_ok=True)
        held.callback(close, tasks[0].project)
        with atomic_hdf5(draft) as file:
            file.attrs.update(attributes)
            left = [task for task in tasks if task.category not in outcome.failed]
            results = held.enter_context(closing(run.map(compute, left)))
            for task, (content, steps, error) in zip(left, results, strict=True):
                outcome.enter(task.category, steps, error)
                if content is not None:
                    write_record(file, content)
                if not len(file) and len(outcome.failed) >= _ENOUGH:
                    break
                report(task.name)
            if not len(file):
                raise next(iter(outcome.failed.values()))
            held.enter_context(exclusive(path))  # until the file has its name: others may finish just now
            now = held.enter_context(open_project(path))
            target = _target(now, method)
            replaced = _keep(target, file, attributes, {task.category for task in tasks})
        draft.replace(target)
        _register(path, now.document, method, target)
    return target, replaced


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
