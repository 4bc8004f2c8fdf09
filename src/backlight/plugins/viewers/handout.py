"""Samples as rows to hand on: id, file, label, prediction, cluster, tags; as CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.annotations import Tag, tags_of
from backlight.core.errors import RequestError
from backlight.core.project import Category, Project
from backlight.core.table import read_table

FORMATS = ("csv", "json", *(["parquet"] if importlib.util.find_spec("pyarrow") else []))
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell starts that a spreadsheet would run; such text gets an apostrophe in front in CSV."""


def rows(
    project: Project,
    indices: NDArray[np.int64],
    tags: dict[str, Tag],
    category: Category | None = None,
    clustering: str | None = None,
) -> list[dict[str, Any]]:
    """Return one row for each sample; those outside `category` have no cluster."""
    facts, held = read_table(project, indices), tags_of(tags, indices)
    clusters: dict[int, int] = {}
    if category is not None and clustering in category.clusterings:
        ids = category.clusters(clustering or "")
        clusters = dict(zip(category.index.tolist(), ids.tolist(), strict=True))

    def name(number: int) -> str | None:
        return project.labels.label(number).name if number >= 0 else None

    return [
        {
            "id": int(index),
            "file": project.dataset.file_name(int(index)),
            "label": name(int(facts.label[k])),
            "prediction": name(int(facts.predicted[k])),
            "confidence": round(float(facts.confidence[k]), 6) if np.isfinite(facts.confidence[k]) else None,
            "training": None if facts.training is None else bool(facts.training[k]),
            "clustering": clustering if int(index) in clusters else None,
            "cluster": clusters.get(int(index)),
            "tags": held[k],
        }
        for k, index in enumerate(facts.index.tolist())
    ]


def encode(found: list[dict[str, Any]], form: str) -> bytes:
    """Return rows as a file of one of `FORMATS`."""
    if form == "json":
        return json.dumps(found, ensure_ascii=False, indent=1).encode()
    if form == "csv":
        return _csv(found)
    if form == "parquet" and form in FORMATS:
        return _parquet(found)
    raise RequestError(f"rows can be written as {', '.join(FORMATS)}, not as {form!r}")


def _csv(found: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(found[0]) if found else ["id"], lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    text = "; ".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text


def _parquet(found: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(found), buffer)
    return buffer.getvalue()
