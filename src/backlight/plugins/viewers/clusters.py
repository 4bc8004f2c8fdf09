"""The clusters of the chosen clustering: colour, size and share, noise last; a click selects the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, selection
from backlight.core.project import Category
from backlight.core.projects.curation import Curation
from backlight.plugins.viewers.palette import NOISE, cluster_colour

MARK_CHOSEN = """(selection, names, ids) => ids.map(({index}) =>
  selection && names && selection.label === names[index] ? "cluster chosen" : "cluster")"""

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
        names = dcc.Store(id=context.id("names"))
        return html.Div([names, head, html.Div(id=context.id("list"), className="cluster-list")])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """List the clusters; select on click; mark the one that is selected."""
        place = [context.store(store) for store in ("project", "analysis", "category", "clustering")]

        @callback(
            Output(context.id("count"), "children"),
            Output(context.id("list"), "children"),
            Output(context.id("names"), "data"),
            *[Input(store, "data") for store in place],
        )
        def show(project: str, analysis: str, category: str, clustering: str | None) -> Any:
            if not category or clustering is None:
                return "", html.P("This class has no clusterings.", className="empty"), {}
            found = context.category(project, analysis, category)
            if clustering not in found.clusterings:
                return (
                    no_update,
                    no_update,
                    no_update,
                )  # the toolbar is about to replace it by one this class has
            curation = context.projects[project].curation(found, clustering)
            rows = sizes(found, clustering, curation)
            marked = suspicious(found, clustering)
            marked = None if marked is None else curation.into.get(marked, marked)
            total = max(1, len(found.index))
            buttons = [
                _button(context, cluster, n / total, n, curation.name(cluster), cluster == marked)
                for cluster, n in rows
            ]
            return _count(rows, curation), buttons, {c: curation.name(c) for c, _ in rows}

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
            curation = context.projects[project].curation(found, clustering)
            members = found.index[curation.ids(found.clusters(clustering)) == cluster]
            return selection((project, analysis, category), members, curation.name(cluster))

        callback.clientside(
            MARK_CHOSEN,
            Output(context.item("cluster", ALL), "className"),
            Input(context.store("selection"), "data"),
            Input(context.id("names"), "data"),
            State(context.item("cluster", ALL), "id"),
        )


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


def _button(
    context: PanelContext, cluster: int, share: float, size: int, name: str, marked: bool
) -> html.Button:
    colour = cluster_colour(cluster)
    return html.Button(
        [
            html.Span(className="swatch", style={"backgroundColor": colour}),
            html.Span(name[0].upper() + name[1:], className="cluster-name", title=name),
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
