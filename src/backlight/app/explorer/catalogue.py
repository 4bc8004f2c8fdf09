"""What the open projects hold, as plain data that the toolbar in the browser chooses from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backlight.core.errors import BacklightError
from backlight.core.project import Analysis, Category, Project

PREFERRED_EMBEDDINGS = ("umap", "tsne")


def catalogue(projects: Iterable[Project]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the projects with their analyses and categories, and a sentence for what cannot be read."""
    problems: list[str] = []
    entries = [
        {
            "name": project.name,
            "model": project.model,
            "dataset": project.dataset.name,
            "analyses": [_analysis(analysis, problems) for analysis in project.analyses.values()],
        }
        for project in projects
    ]
    return entries, problems


def _analysis(analysis: Analysis, problems: list[str]) -> dict[str, Any]:
    categories = []
    try:
        for category in analysis.categories.values():
            try:
                categories.append(_category(category))
            except BacklightError as error:
                problems.append(f"{category.name} is left out: {error}")
    except BacklightError as error:
        problems.append(f"Analysis {analysis.method} cannot be read: {error}")
    start = max(categories, key=lambda entry: entry["suspicion"], default=None)
    return {"name": analysis.method, "start": start and start["id"], "categories": categories}


def _category(category: Category) -> dict[str, Any]:
    scored = str(category.score_attributes("tau").get("clustering", "")) if "tau" in category.scores else ""
    start = str(category.attributes.get("suspicious_clustering", scored))
    names = category.clusterings
    embeddings = [_embedding(category, name) for name in category.embeddings]
    return {
        "id": category.id,
        "name": category.name,
        "size": len(category.index),
        "suspicion": category.suspicion[1] if category.suspicion else 0.0,
        "clusterings": sorted(names, key=lambda name: name != start),
        "embeddings": sorted(
            embeddings, key=lambda entry: entry["name"].split("-")[0] not in PREFERRED_EMBEDDINGS
        ),
    }


def _embedding(category: Category, name: str) -> dict[str, Any]:
    embedding = category.embedding(name)
    spectral = embedding.eigenvalues is not None
    # The first eigenvector of a connected graph says nothing, so a spectral map starts with the next two.
    first = 1 if spectral and embedding.dimensions > 2 else 0
    return {
        "name": name,
        "dimensions": embedding.dimensions,
        "axes": [first, first + 1],
        "spectral": spectral,
    }
