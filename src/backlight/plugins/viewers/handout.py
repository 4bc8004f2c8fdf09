"""Rows of core.projects.table as files to hand on: CSV, JSON or Parquet."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from typing import Any

from backlight.core.errors import RequestError

FORMATS = ("csv", "json", *(["parquet"] if importlib.util.find_spec("pyarrow") else []))
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell starts that a spreadsheet would run; such text gets an apostrophe in front in CSV."""


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
