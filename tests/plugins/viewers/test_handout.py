"""Rows to hand on: what is in them, and that they read back."""

import csv
import io
import json

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.projects.annotations import Tag
from backlight.core.projects.table import rows
from backlight.plugins.viewers.handout import FORMATS, encode

TAGS = {"mark": Tag("mark", np.array([61, 3])), "=cmd()": Tag("=cmd()", np.array([61]))}


@pytest.fixture
def found(context, dog):
    return rows(context.projects["pets"], np.array([3, 61, 150]), TAGS, dog, "hdbscan")


def test_rows_hold_what_is_known(found, dog):
    assert [(r["id"], r["file"], r["label"]) for r in found] == [
        (3, "cat/0003.png", "cat"), (61, "dog/0061.png", "dog"), (150, "<b>fish</b>/0150.png", "<b>fish</b>"),
    ]  # fmt: skip
    where = dog.index.tolist().index(61)
    assert [r["cluster"] for r in found] == [None, dog.clusters("hdbscan")[where], None]
    assert [r["tags"] for r in found] == [["mark"], ["mark", "=cmd()"], []]
    assert all(0 < r["confidence"] <= 1 for r in found)


def test_json_and_csv_read_back(found):
    assert json.loads(encode(found, "json")) == found
    again = list(csv.DictReader(io.StringIO(encode(found, "csv").decode())))
    assert [r["file"] for r in again] == [r["file"] for r in found]
    assert again[1]["tags"] == "mark; =cmd()"


def test_a_spreadsheet_runs_no_cell(found):
    hostile = [{**found[0], "file": "=HYPERLINK(1)", "label": "+1", "prediction": "@x", "tags": ["-2"]}]
    row = next(csv.DictReader(io.StringIO(encode(hostile, "csv").decode())))
    assert [row[k][0] for k in ("file", "label", "prediction", "tags")] == ["'"] * 4


def test_parquet_is_offered_where_it_can_be_written(found):
    if "parquet" in FORMATS:
        assert encode(found, "parquet")[:4] == b"PAR1"
    else:
        with pytest.raises(RequestError, match="csv, json"):
            encode(found, "parquet")
