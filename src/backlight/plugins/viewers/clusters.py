"""The clusters of the chosen clustering: colour, size and share, noise last; a click selects the samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from dash import Input, Output, html

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import PLACE, Callbacks, Panel, PanelContext, typed_indices
from backlight.core.project import Category
from backlight.core.projects.curation import NOISE, Curation
from backlight.plugins.viewers.palette import cluster_colour

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
AS_FOUND = Curation()


@final
@dataclass(frozen=True)
class Clusters(Panel):
    """List of clusters with colour, size and share; a click selects a cluster's samples."""

    title: ClassVar[str] = "Clusters"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading and the place of the list."""
        head = html.Div(
            [html.H2("Clusters"), html.Span(id=context.id("count"), className="quiet")],
            className="panel-head",
        )
        return html.Div([head, html.Div(id=context.id("list"), className="cluster-list")])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """List the clusters and select the samples of one in the browser (clusters.js)."""
        callback.script(SCRIPT)
        callback.data("list", lambda *place: _list(context, *place))
        callback.data("members", lambda *place: _members(context, *place))
        callback.clientside(
            "(...args) => backlight.clusters.show(...args)",
            Output(context.id("count"), "children"),
            *[Input(context.store(store), "data") for store in (*PLACE, "selection")],
        )


def _list(
    context: PanelContext, project: str, analysis: str, category: str, clustering: str
) -> dict[str, Any] | None:
    """Return the clusters to show, or None for a clustering that the toolbar is about to replace."""
    found = context.category(project, analysis, category)
    if clustering not in found.clusterings:
        return None
    curation = context.projects[project].curation(found, clustering)
    listed = sizes(found, clustering, curation)
    marked = suspicious(found, clustering)
    marked = None if marked is None else curation.into.get(marked, marked)
    total = max(1, len(found.index))
    rows = [
        {
            "cluster": cluster,
            "name": curation.name(cluster),
            "size": size,
            "share": size / total,
            "percent": percent(size / total),
            "colour": cluster_colour(cluster),
            "marked": cluster == marked,
        }
        for cluster, size in listed
    ]
    return {"count": _count(listed, curation), "rows": rows}


def _members(
    context: PanelContext, project: str, analysis: str, category: str, clustering: str, cluster: int
) -> dict[str, Any]:
    """Return the dataset indices of a cluster's samples as people merged them."""
    found = context.category(project, analysis, category)
    return typed_indices(context.projects[project].members(found, clustering, int(cluster)))


def sizes(category: Category, clustering: str, curation: Curation = AS_FOUND) -> list[tuple[int, int]]:
    """Return (cluster, number of samples) of the clusters to show by ascending id, noise last."""
    ids, counts = np.unique(curation.ids(category.clusters(clustering)), return_counts=True)
    rows = zip(ids.tolist(), counts.tolist(), strict=True)
    return sorted(
        (row for row in rows if row[0] not in curation.hidden), key=lambda row: (row[0] == NOISE, row[0])
    )


def suspicious(category: Category, clustering: str) -> int | None:
    """Return the cluster that the analysis marked in this clustering, or None."""
    marked = category.suspicious
    return marked[1] if marked is not None and marked[0] == clustering else None


def percent(share: float) -> str:
    """Return a share in whole percent; a small one is not rounded to nothing."""
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def _count(rows: list[tuple[int, int]], curation: Curation) -> str:
    """Say how many clusters there are, and how many of them are not shown."""
    found = f"{sum(cluster != NOISE for cluster, _ in rows)} found"
    return f"{found}, {len(curation.hidden)} hidden" if curation.hidden else found


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the cluster list."""
    return [PanelSpec("clusters", Clusters, slot="side", order=20)]
