"""Selections as files: ViRelAy's keys, older keys, and a sentence for whatever does not fit."""

import base64
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.app.explorer.exchange import OLDER, export, read
from backlight.core.errors import BacklightError, RequestError
from backlight.core.panel import check_colour, from_address, selected, selection

# ruff: noqa: E501
KEYS = {
    "projectId", "projectName", "modelName", "datasetName", "selectedAnalysisMethod", "selectedAnalysisCategory",
    "selectedCategoryHumanReadableName", "selectedEmbeddingName", "selectedClustering", "numberOfClusters",
    "selectedColorMap", "selectedImageMode", "selectedEmbeddingVectorsIndices", "selectedEmbeddingVectorsClusters",
    "allEmbeddingVectorsIndices", "allEmbeddingVectorsClusters", "backlight",
}  # fmt: skip


@pytest.fixture
def projects(project):
    return {project.name: project}


@pytest.fixture
def state():
    scope, embedding = ("pets", "spray", "00000001"), {"name": "spectral", "x": 2, "y": 5}
    return {
        "project": "pets",
        "analysis": "spray",
        "category": "00000001",
        "clustering": "hdbscan",
        "embedding": embedding,
        "colour": check_colour({"mode": "attribution", "cmap": "bwr", "scaling": "gamma", "by": "label"}),
        "selection": selection(scope, [61, 63, 119], "mine"),
        "view": {"scope": list(scope), "embedding": embedding, "range": [-1.5, 2, 0, 1e-3], "contours": True},
    }


def test_a_state_survives_export_and_import(projects, state):
    document = export(projects, state)
    assert set(document) == KEYS
    category = projects["pets"].analysis("spray").category("dog")
    where = [category.index.tolist().index(i) for i in (61, 63, 119)]
    assert document["selectedEmbeddingVectorsIndices"] == [61, 63, 119]
    assert document["selectedEmbeddingVectorsClusters"] == category.clusters("hdbscan")[where].tolist()
    assert document["numberOfClusters"] == 3
    assert read(projects, json.dumps(document)) == state


def test_a_view_of_another_map_is_not_exported(projects, state):
    state["view"] = {**state["view"], "embedding": {"name": "tsne", "x": 0, "y": 1}, "contours": False}
    document = export(projects, state)
    assert document["backlight"]["zoom"] is None
    assert read(projects, json.dumps(document))["view"] is None


@pytest.mark.parametrize(
    "zoom", [[0, 1, 0], [1, 0, 0, 1], [0, 1, 0, None], [0, True, 0, 1], "x", [0, 1e999, 0, 1]]
)
def test_a_view_that_is_none_is_refused(projects, state, zoom):
    document = export(projects, state)
    document["backlight"]["zoom"] = zoom
    with pytest.raises(RequestError, match="zoom"):
        read(projects, json.dumps(document))


def test_older_keys_are_read(projects, state):
    newer = {new: old for old, new in OLDER.items()}
    document = {newer.get(key, key): value for key, value in export(projects, state).items()}
    assert "selectedDataPointIndices" in document
    assert read(projects, json.dumps(document)) == state


def test_rows_are_told_from_dataset_indices(projects, state):
    document = export(projects, state)
    document["allEmbeddingVectorsIndices"] = list(range(60))
    document["selectedEmbeddingVectorsIndices"] = [0, 2]
    np.testing.assert_array_equal(selected(read(projects, json.dumps(document))["selection"]), [60, 62])


def test_a_base_name_and_a_number_name_a_clustering(projects, state):
    document = export(projects, state) | {"selectedClustering": "kmeans", "numberOfClusters": "2"}
    assert read(projects, json.dumps(document))["clustering"] == "kmeans-02"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"projectName": "pest"}, "did you mean 'pets'"),
        ({"projectName": None, "projectId": 7}, "1 projects are open"),
        ({"selectedAnalysisMethod": "sprai"}, "did you mean 'spray'"),
        ({"selectedAnalysisCategory": "nope", "selectedCategoryHumanReadableName": None}, "unknown category"),
        ({"selectedClustering": ["hdbscan"]}, "'selectedClustering' is list, expected str"),
        ({"selectedEmbeddingName": "umap"}, "unknown embedding 'umap'"),
        ({"selectedColorMap": "ultra"}, "'selectedColorMap'"),
        ({"selectedImageMode": "<script>"}, "'selectedImageMode'"),
        ({"selectedEmbeddingVectorsIndices": [1.5]}, "whole numbers"),
        ({"selectedEmbeddingVectorsIndices": [True]}, "whole numbers"),
        ({"selectedEmbeddingVectorsIndices": [3]}, "sample 3 is not in class 'dog'"),
        ({"backlight": {"x": 99}}, "8 components"),
        ({"backlight": {"colour": {"scaling": "loud"}}}, "'colour.scaling'"),
        ({"backlight": {"colour": {"evil": "x"}}}, "unknown key 'evil'"),
        ({"backlight": []}, "'backlight' is list"),
    ],
)
def test_what_does_not_fit_is_named(projects, state, change, says):
    with pytest.raises(RequestError, match=says.replace("(", r"\(")):
        read(projects, json.dumps(export(projects, state) | change))


@pytest.mark.parametrize("text", [b"", b"nonsense", b"[1]", b"\xff\xfe", b"[" * 100_000, b'"x"'])
def test_files_that_are_no_selection(projects, text):
    with pytest.raises(RequestError):
        read(projects, text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(KEYS | set(OLDER))), json_values, max_size=4))
def test_any_document_is_read_or_refused(projects, state, change):
    document = export(projects, state) | change
    try:
        found = read(projects, json.dumps(document))
    except BacklightError:
        return
    assert found["project"] == "pets"
    assert np.isin(
        selected(found["selection"]), projects["pets"].analysis("spray").category(found["category"]).index
    ).all()


def test_uploads_come_as_data_addresses():
    assert from_address("data:application/json;base64," + base64.b64encode(b"{}").decode()) == b"{}"
    with pytest.raises(RequestError, match="damaged"):
        from_address("data:application/json;base64,!")
