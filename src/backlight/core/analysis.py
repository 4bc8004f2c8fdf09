"""Run a pipeline over every class of a project, write the analysis file, rank the classes by suspicion.

Classes are independent tasks behind the executor seam. What a task finished is in the cache, so a killed
run resumes with the class that was in flight. Files appear whole or not at all; earlier results stay until
then.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import yaml

from backlight.core.analysis_file import Finding, file_attributes, finding, write_record
from backlight.core.analysis_tasks import (
    CACHE_FOLDER,
    Grouping,
    Task,
    close,
    compute,
    compute_ahead,
    cost_of,
    name_of,
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
"""Called with the number of finished classes, of all, and the name of the latest ("" at the start)."""

CACHE_LIMIT = 20 * 2**30
"""Bytes that the cache of a run may take after an analysis."""

_ENOUGH = 3
"""What ails the first so many classes, a missing package or a setting, ails all: no need to try the rest."""


@dataclass(frozen=True)
class Analysed:
    """Where the results are, and the categories by falling suspicion.

    reused: categories of which nothing had to be computed. computed: steps that were, of `steps` in all.
    replaced: categories whose earlier results are gone: they were made in another way, and not asked for now.
    failed: one sentence for every category that could not be analysed.
    """

    path: Path
    method: str
    findings: tuple[Finding, ...]
    reused: int
    computed: int
    steps: int
    replaced: int
    failed: tuple[str, ...] = ()


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
    run = executor(workers, len(tasks) * beside, cost, cluster)
    report = progress or (lambda done, total, name: None)
    report(0, len(tasks), "")
    with disk_errors(file.parent, "earlier results"):
        ahead = compute_ahead(tasks, groups if run.workers > len(tasks) else [], run)
        written = _write(file, method, tasks, attributes, labels, run, report)
        if cache:
            Cache(file.parent / CACHE_FOLDER).trim(CACHE_LIMIT)
    computed = [len(here | ahead[category]) for category, here in written.computed.items()]
    return Analysed(
        written.path,
        method,
        ranking(written.path, labels),
        reused=computed.count(0),
        computed=sum(computed),
        steps=len(steps.steps) * len(computed),
        replaced=written.replaced,
        failed=tuple(map(str, written.failed)),
    )


def ranking(path: Path, labels: LabelMap) -> tuple[Finding, ...]:
    """Read what an analysis file says about its categories, by falling suspicion. labels: for their names."""
    with open_hdf5(path) as file:
        findings = [finding(file[key], name_of(labels, key)) for key in file]
    return tuple(sorted(findings, key=lambda row: (-row.suspicion, row.category)))


class _Written(NamedTuple):
    """computed: steps of every category that was analysed. replaced, failed: as in Analysed."""

    path: Path
    computed: dict[str, set[str]]
    replaced: int
    failed: list[BacklightError]


def _write(
    path: Path,
    method: str,
    tasks: Sequence[Task],
    attributes: Mapping[str, Any],
    labels: LabelMap,
    run: Executor,
    report: Progress,
) -> _Written:
    """Write the analysis file and list it in the project file, beside what others may write meanwhile."""
    computed: dict[str, set[str]] = {}
    failed: list[BacklightError] = []
    draft = path.with_name(f".{uuid.uuid4().hex}.{ANALYSIS_FILE}")
    with ExitStack() as held:
        held.callback(draft.unlink, missing_ok=True)
        held.callback(close, tasks[0].project)
        with atomic_hdf5(draft) as file:
            file.attrs.update(attributes)
            results = held.enter_context(closing(run.map(compute, tasks)))
            for task, (content, steps) in zip(tasks, results, strict=True):
                if isinstance(content, BacklightError):
                    failed.append(content)
                else:
                    write_record(file, content)
                    computed[task.category] = steps
                if not computed and len(failed) == min(_ENOUGH, len(tasks)):
                    raise failed[0]
                report(len(computed) + len(failed), len(tasks), name_of(labels, task.category))
            held.enter_context(exclusive(path))  # until the file has its name: others may finish just now
            now = held.enter_context(open_project(path))
            target = _target(now, method)
            replaced = _keep(target, file, attributes, set(computed))
        draft.replace(target)
        _register(path, now.document, method, target)
    return _Written(target, computed, replaced, failed)


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
