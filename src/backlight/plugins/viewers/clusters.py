"""The clusters of the chosen clustering: colour, size and share, noise last; a click selects the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import ALL, Input, Output, State, ctx, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, selection
from backlight.core.project import Category
from backlight.plugins.viewers.palette import NOISE, cluster_colour, cluster_name

MARK_CHOSEN = """(selection, rows, ids) => ids.map(({index}) => {
  const name = index < 0 ? "noise" : `cluster ${index}`;
  return selection && selection.label === name ? "cluster chosen" : "cluster";
})"""


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
        """List the clusters; select on click; mark the one that is selected."""
        place = [context.store(store) for store in ("project", "analysis", "category", "clustering")]

        @callback(
            Output(context.id("count"), "children"),
            Output(context.id("list"), "children"),
            *[Input(store, "data") for store in place],
        )
        def show(project: str, analysis: str, category: str, clustering: str | None) -> Any:
            if not category or clustering is None:
                return "", html.P("This class has no clusterings.", className="empty")
            found = context.category(project, analysis, category)
            if clustering not in found.clusterings:
                return no_update, no_update  # the toolbar is about to replace it by one this class has
            rows = sizes(found, clustering)
            n_clusters = sum(cluster != NOISE for cluster, _ in rows)
            marked = suspicious(found, clustering)
            total = max(1, len(found.index))
            buttons = [_button(context, cluster, n, total, cluster == marked) for cluster, n in rows]
            return f"{n_clusters} found", buttons

        @callback(
            Output(context.store("selection"), "data"),
            Input(context.item("cluster", ALL), "n_clicks"),
            *[State(store, "data") for store in place],
        )
        def select(
            clicks: list[int | None], project: str, analysis: str, category: str, clustering: str
        ) -> Any:
            if not any(clicks) or not ctx.triggered_id:
                return no_update
            cluster = int(ctx.triggered_id["index"])
            found = context.category(project, analysis, category)
            members = found.index[_without_gaps(found.clusters(clustering)) == cluster]
            return selection((project, analysis, category), members, cluster_name(cluster))

        callback.clientside(
            MARK_CHOSEN,
            Output(context.item("cluster", ALL), "className"),
            Input(context.store("selection"), "data"),
            Input(context.id("list"), "children"),
            State(context.item("cluster", ALL), "id"),
        )


def sizes(category: Category, clustering: str) -> list[tuple[int, int]]:
    """Return (cluster, number of samples) by ascending id, noise last."""
    ids, counts = np.unique(_without_gaps(category.clusters(clustering)), return_counts=True)
    rows = list(zip(ids.tolist(), counts.tolist(), strict=True))
    return sorted(rows, key=lambda row: (row[0] == NOISE, row[0]))


def suspicious(category: Category, clustering: str) -> int | None:
    """Return the cluster that the analysis marked in this clustering, or None."""
    marked = category.suspicious
    return marked[1] if marked is not None and marked[0] == clustering else None


def percent(share: float) -> str:
    """Return a share in whole percent; a small one is not rounded to nothing."""
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def _without_gaps(ids: Any) -> Any:
    """Return cluster ids with every negative one as noise."""
    return np.where(ids < 0, NOISE, ids)


def _button(context: PanelContext, cluster: int, size: int, total: int, marked: bool) -> html.Button:
    share = size / total
    name = cluster_name(cluster)
    colour = cluster_colour(cluster)
    return html.Button(
        [
            html.Span(className="swatch", style={"backgroundColor": colour}),
            html.Span(
                name.capitalize() if cluster == NOISE else f"Cluster {cluster}", className="cluster-name"
            ),
            html.Span("suspicious", className="badge-quiet") if marked else None,
            html.Span(f"{size:,}", className="number"),
            html.Span(percent(share), className="number quiet"),
            html.Span(className="share", style={"width": f"{share:.1%}", "backgroundColor": colour}),
        ],
        id=context.item("cluster", cluster),
        className="cluster",
        title=f"Select the {size:,} samples of {name}",
    )


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the cluster list."""
    return [PanelSpec("clusters", Clusters, slot="side", order=20)]
