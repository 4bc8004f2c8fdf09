"""What a person looks at as a JSON document: written with ViRelAy's keys, read with its newer and older ones.

The same state travels in links (assets/state.js). What comes in is checked against the open projects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError, unknown
from backlight.core.panel import MODES, SCOPE, check_colour, selected, selection
from backlight.core.pictures.heatmap import COLOUR_MAPS
from backlight.core.project import Analysis, Category, Project
from backlight.core.projects.curation import Curation

LIMIT = 32 << 20
"""Largest document read, in bytes."""

OLDER = {
    "projectID": "projectId",
    "selectedAnalysisName": "selectedAnalysisMethod",
    "selectedCategory": "selectedAnalysisCategory",
    "selectedCategoryHumanReadable": "selectedCategoryHumanReadableName",
    "selectedDataPointIndices": "selectedEmbeddingVectorsIndices",
    "selectedDataPointClusters": "selectedEmbeddingVectorsClusters",
    "allDataPointIndices": "allEmbeddingVectorsIndices",
    "allDataPointClusters": "allEmbeddingVectorsClusters",
}


def export(projects: Mapping[str, Project], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a state: the values of the shared stores by name."""
    project = _project(projects, state.get("project"))
    category = project.analysis(state["analysis"]).category(state["category"])
    clustering, chosen = state.get("clustering"), selected(state.get("selection"))
    ids = category.clusters(clustering) if clustering else np.zeros(len(category.index), np.int32)
    here = chosen[np.isin(chosen, category.index)]
    cluster_of = dict(zip(category.index.tolist(), ids.tolist(), strict=True))
    colour, embedding = state.get("colour") or {}, state.get("embedding") or {}
    return {
        "projectId": list(projects).index(project.name),
        "projectName": project.name,
        "modelName": project.model,
        "datasetName": project.dataset.name,
        "selectedAnalysisMethod": state["analysis"],
        "selectedAnalysisCategory": category.id,
        "selectedCategoryHumanReadableName": category.name,
        "selectedEmbeddingName": embedding.get("name"),
        "selectedClustering": clustering,
        "numberOfClusters": int(np.unique(ids[ids >= 0]).size),
        "selectedColorMap": colour.get("cmap"),
        "selectedImageMode": colour.get("mode"),
        "selectedEmbeddingVectorsIndices": here.tolist(),
        "selectedEmbeddingVectorsClusters": [cluster_of[i] for i in here.tolist()],
        "allEmbeddingVectorsIndices": category.index.tolist(),
        "allEmbeddingVectorsClusters": ids.tolist(),
        "backlight": {
            "version": 1,
            "x": embedding.get("x"),
            "y": embedding.get("y"),
            "colour": colour,
            "label": (state.get("selection") or {}).get("label"),
            **_seen(state.get("view"), state),
            "clusters": _clusters(project.curation(category, clustering)),
        },
    }


def _seen(view: Mapping[str, Any] | None, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the map is looked at, where a view is of the map that is shown."""
    place = [state.get(key) for key in SCOPE]
    here = isinstance(view, dict) and (view["scope"], view["embedding"]) == (place, state.get("embedding"))
    return {"zoom": view["range"] if here else None, "contours": bool(view and view["contours"])}


def _clusters(curation: Curation) -> dict[str, Any]:
    """Return how people named, merged and hid clusters; the numbers elsewhere are those of the files."""
    names = {str(cluster): name for cluster, name in curation.names.items()}
    merged = {str(cluster): other for cluster, other in curation.into.items()}
    return {"names": names, "merged": merged, "hidden": sorted(curation.hidden)}


def read(projects: Mapping[str, Project], text: bytes | str) -> dict[str, Any]:
    """Return the state of a document; raise RequestError naming the key that does not fit."""
    document = {OLDER.get(key, key): value for key, value in _document(text).items()}
    project = _find_project(projects, document)
    analysis = _analysis(project, document)
    category = _category(analysis, document)
    extra = _value(document, "backlight", dict, {})
    state: dict[str, Any] = {
        "project": project.name,
        "analysis": analysis.method,
        "category": category.id,
        "clustering": _clustering(category, document),
        "embedding": _embedding(category, document, extra),
        "colour": _colour(document, extra),
        "selection": None,
        "view": None,
    }
    state["view"] = _view(extra, [project.name, analysis.method, category.id], state["embedding"])
    chosen = _selected(category, document)
    if len(chosen):
        label = _value(extra, "label", str, None) or "imported"
        state["selection"] = selection((project.name, analysis.method, category.id), chosen, label[:200])
    return state


def _document(text: bytes | str) -> dict[str, Any]:
    if len(text) > LIMIT:
        raise RequestError(f"the file is larger than {LIMIT >> 20} MiB; a selection is not")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the file is not JSON ({error}); expected an exported selection") from error
    if not isinstance(document, dict):
        raise RequestError(
            f"the file holds {type(document).__name__}, expected an object with 'projectName' …"
        )
    return document


def _value(document: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RequestError(f"{key!r} is {type(value).__name__}, expected {kind.__name__}")
    return value


def _project(projects: Mapping[str, Project], name: Any) -> Project:
    if not isinstance(name, str) or name not in projects:
        raise RequestError(unknown("project", str(name), projects))
    return projects[name]


def _find_project(projects: Mapping[str, Project], document: Mapping[str, Any]) -> Project:
    name = _value(document, "projectName", str, None)
    if name is not None:
        return _project(projects, name)
    number = _value(document, "projectId", int, 0)
    if not 0 <= number < len(projects):
        raise RequestError(f"'projectId' is {number}, but {len(projects)} projects are open")
    return list(projects.values())[number]


def _analysis(project: Project, document: Mapping[str, Any]) -> Analysis:
    method = _value(document, "selectedAnalysisMethod", str, None)
    if method is None:
        return next(iter(project.analyses.values()))
    return project.analysis(method)


def _category(analysis: Analysis, document: Mapping[str, Any]) -> Category:
    chosen = _value(document, "selectedAnalysisCategory", str, None)
    readable = _value(document, "selectedCategoryHumanReadableName", str, None)
    if chosen is None and readable is None:
        raise RequestError("the file names no class: 'selectedAnalysisCategory' is missing")
    if chosen not in analysis.categories and readable is not None:
        return analysis.category(readable)
    return analysis.category(chosen or "")


def _clustering(category: Category, document: Mapping[str, Any]) -> str | None:
    name = _value(document, "selectedClustering", str, None)
    if name is None:
        return category.clusterings[0] if category.clusterings else None
    count = _number(document.get("numberOfClusters"))
    for candidate in (name, f"{name}-{count:02d}", f"{name}-{count}"):
        if candidate in category.clusterings:
            return candidate
    raise RequestError(f"category {category.name!r} has {unknown('clustering', name, category.clusterings)}")


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0


def _embedding(
    category: Category, document: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any] | None:
    name = _value(document, "selectedEmbeddingName", str, None)
    if name is None:
        return None
    dimensions = category.embedding(name).dimensions
    axes = [_value(extra, key, int, start) for key, start in (("x", 0), ("y", 1))]
    if not all(0 <= axis < dimensions for axis in axes):
        raise RequestError(f"'x', 'y' are {axes}, but embedding {name!r} has {dimensions} components")
    return {"name": name, "x": axes[0], "y": axes[1]}


def _view(extra: Mapping[str, Any], scope: list[str], embedding: Any) -> dict[str, Any] | None:
    zoom, contours = _value(extra, "zoom", list, None), _value(extra, "contours", bool, False)
    if zoom is not None and not (
        len(zoom) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e30 for v in zoom)
        and zoom[0] < zoom[1]
        and zoom[2] < zoom[3]
    ):
        raise RequestError(f"'zoom' is {str(zoom)[:80]}, expected [x0, x1, y0, y1] with x0 < x1 and y0 < y1")
    if zoom is None and not contours:
        return None
    return {"scope": scope, "embedding": embedding, "range": zoom, "contours": contours}


def _colour(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    colour = dict(_value(extra, "colour", dict, {}))
    for key, ours, known in (
        ("selectedColorMap", "cmap", COLOUR_MAPS),
        ("selectedImageMode", "mode", MODES),
    ):
        value = _value(document, key, str, None)
        if value is not None:
            if value not in known:
                raise RequestError(f"{key!r}: {unknown('value', value, known)}")
            colour[ours] = value
    return check_colour(colour)


def _selected(category: Category, document: Mapping[str, Any]) -> NDArray[np.int64]:
    chosen = _indices(document, "selectedEmbeddingVectorsIndices")
    everything = _indices(document, "allEmbeddingVectorsIndices")
    known = np.isin(chosen, category.index)
    if known.all():
        return chosen
    # Some files count rows of the embedding; their list of all samples gives them away.
    if np.array_equal(np.sort(everything), np.arange(len(category.index))):
        return category.index[chosen[chosen < len(category.index)]]
    raise RequestError(
        f"'selectedEmbeddingVectorsIndices': sample {chosen[~known][0]} is not in class {category.name!r}"
    )


def _indices(document: Mapping[str, Any], key: str) -> NDArray[np.int64]:
    values = _value(document, key, list, [])
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**32 for v in values):
        raise RequestError(f"{key!r} holds something other than dataset indices (whole numbers from 0)")
    return np.unique(np.array(values, dtype=np.int64))
