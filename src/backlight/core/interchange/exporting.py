"""A run's results for other tools: arrays in one .npz, or a table with one row a sample in Parquet."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.project import Project
from backlight.core.store import atomic_path

STEP = 256
"""Samples held in memory at a time."""


def export(project: Project, path: Path, *, relevance: bool = True) -> int:
    """Write every sample that has an attribution to `path`; return how many.

    .npz: index, label, prediction, source, relevance. .parquet: the same as columns, with clusters of every
    analysis beside them.
    """
    if path.suffix == ".npz":
        _npz(project, path, relevance)
    elif path.suffix == ".parquet":
        _parquet(project, path, relevance)
    else:
        raise RequestError(f"{path} has no ending that says its kind; expected .npz or .parquet")
    return len(project.attributions.indices)


def _npz(project: Project, path: Path, relevance: bool) -> None:
    indices = project.attributions.indices
    arrays = {
        "index": indices,
        "label": project.dataset.labels[indices],
        "prediction": project.attributions.predictions(indices),
        "source": np.array([project.dataset.file_name(int(i)) for i in indices]),
    }
    with (
        atomic_path(path) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
        if relevance:
            _stream(archive, project, indices)


def _stream(archive: zipfile.ZipFile, project: Project, indices: NDArray[np.int64]) -> None:
    """Write relevance as `relevance.npy` without holding all of it."""
    shape = project.attributions.relevances(indices[:1]).shape[1:]
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(indices), *shape)}
    with archive.open("relevance.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for some in _steps(indices):
            file.write(project.attributions.relevances(some).astype("<f4").tobytes())


def _parquet(project: Project, path: Path, relevance: bool) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise RequestError("Parquet needs pyarrow; try `pip install 'backlight[parquet]'`") from None
    indices, clusters = project.attributions.indices, _clusters(project)
    with atomic_path(path) as part:
        writer = None
        for some in _steps(indices):
            table = pa.table(_columns(project, some, clusters, relevance))
            writer = writer or pq.ParquetWriter(part, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def _columns(
    project: Project, some: NDArray[np.int64], clusters: dict[str, dict[int, int]], relevance: bool
) -> dict[str, Any]:
    outputs = project.attributions.predictions(some)
    labels = project.dataset.labels[some]
    columns: dict[str, Any] = {
        "index": some,
        "label": labels,
        "class": [project.labels.label(int(label)).name for label in labels],
        "predicted": outputs.argmax(1) if outputs.shape[1] else np.full(len(some), -1),
        "source": [project.dataset.file_name(int(i)) for i in some],
        "prediction": list(outputs),
    }
    columns |= {name: [found.get(int(i)) for i in some] for name, found in clusters.items()}
    if relevance:
        maps = project.attributions.relevances(some)
        columns["relevance"] = list(maps.reshape(len(some), -1))
        columns["relevance_shape"] = [list(maps.shape[1:])] * len(some)
    return columns


def _clusters(project: Project) -> dict[str, dict[int, int]]:
    """Return the cluster of every sample, by `analysis/clustering`."""
    found: dict[str, dict[int, int]] = {}
    for method, analysis in project.analyses.items():
        for category in analysis.categories.values():
            for name in category.clusterings:
                members = zip(category.index.tolist(), category.clusters(name).tolist(), strict=True)
                found.setdefault(f"{method}/{name}", {}).update(members)
    return found


def _steps(indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(indices), STEP):
        yield indices[start : start + STEP]
