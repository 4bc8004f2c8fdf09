"""Another analysis, class or clustering beside the chosen one: its map, linked selections, the overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, ctx, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, selection
from backlight.plugins.viewers.embedding import SCRIPT, map_place, map_stores, read_groups, read_points
from backlight.plugins.viewers.overlap import Overlap, cell, overlap
from backlight.plugins.viewers.palette import cluster_colour, cluster_name

FIELDS = {"analysis": "Analysis", "category": "Class", "clustering": "Clustering", "embedding": "Map"}
PLACE = ("project", "analysis", "category", "clustering")


@final
@dataclass(frozen=True)
class Compare(Panel):
    """A second map with linked selection; contingency table and adjusted Rand index of two clusterings."""

    title: ClassVar[str] = "Compare"

    def layout(self, context: PanelContext) -> Any:
        """Return the choice of what to compare with, the place of the overlap, and the second map."""
        fields = [
            html.Div(
                [html.Label(word, htmlFor=context.id(key)), dbc.Select(id=context.id(key), size="sm")],
                className="control",
            )
            for key, word in FIELDS.items()
        ]
        head = html.Div([html.H2("Compare with"), *fields], className="panel-head compare-head")
        table = html.Div(id=context.id("overlap"), className="overlap")
        return html.Div(
            [*map_stores(context), head, html.Div([table, map_place(context)], className="compare")]
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Offer what there is; show overlap and map while the panel is in front; keep selections linked."""
        self._offer(callback, context)
        self._show(callback, context)
        self._link(callback, context)

    def _offer(self, callback: Callbacks, context: PanelContext) -> None:
        keys = list(FIELDS)

        @callback(
            *[Output(context.id(key), "options") for key in keys],
            *[Output(context.id(key), "value") for key in keys],
            Input(context.store("shown"), "data"),
            *[Input(context.store(store), "data") for store in PLACE],
            *[Input(context.id(key), "value") for key in keys[:2]],
            *[State(context.id(key), "value") for key in keys[2:]],
        )
        def offer(shown: str, project: str, *values: Any) -> Any:
            here, wanted = (
                dict(zip(PLACE[1:], values[:3], strict=True)),
                dict(zip(keys, values[3:], strict=True)),
            )
            if shown != context.name or not here["category"]:
                return [no_update] * 8
            return _offer(context, project, here, wanted)

    def _show(self, callback: Callbacks, context: PanelContext) -> None:
        other = [Input(context.id(key), "value") for key in FIELDS]

        @callback(
            Output(context.id("overlap"), "children"),
            Output(context.id("points"), "data"),
            Output(context.id("groups"), "data"),
            *other,
            *[Input(context.store(store), "data") for store in PLACE],
        )
        def show(
            analysis: str | None, category: str, clustering: str, embedding: str, project: str, *here: str
        ) -> Any:
            if not analysis or not category or not here[1]:
                return no_update, no_update, no_update
            first, second = (
                context.category(project, *here[:2]),
                context.category(project, analysis, category),
            )
            scope = (project, analysis, second.id)
            points = groups = None
            if embedding in second.embeddings:
                points = read_points(context, scope, {"name": embedding, "x": 0, "y": 1})
                groups = read_groups(context, scope, clustering or None)
            if here[2] not in first.clusterings or clustering not in second.clusterings:
                return html.P("Both need a clustering to be compared.", className="empty"), points, groups
            found = overlap(first, here[2], second, clustering)
            return _overlap(context, found, here[2], clustering), points, groups

        callback.clientside(
            f"""(points, groups, selection) => {{
                const here = points && selection && selection.scope[0] === points.scope[0];
                const linked = here ? {{...selection, scope: points.scope, label: "linked"}} : null;
                return {SCRIPT}.draw("{context.name}", "drawn in the comparison", points, groups, linked);
            }}""",
            Output(context.id("map"), "aria-label"),
            Input(context.id("points"), "data"),
            Input(context.id("groups"), "data"),
            Input(context.store("selection"), "data"),
        )

    def _link(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            f"""(drawn, ...scope) => {{
                const found = {SCRIPT}.select(drawn);
                return found && found.indices ? {{...found, scope}} : found;
            }}""",
            Output(context.store("selection"), "data"),
            Input(context.id("drawn"), "data"),
            *[State(context.store(store), "data") for store in PLACE[:3]],
        )

        @callback(
            Output(context.store("selection"), "data"),
            Input(context.item("cell", ALL), "n_clicks"),
            *[State(context.store(store), "data") for store in PLACE],
            *[State(context.id(key), "value") for key in list(FIELDS)[:3]],
        )
        def choose(clicks: list[int | None], project: str, *values: str) -> Any:
            if not ctx.triggered_id or not ctx.triggered[0]["value"]:
                return no_update
            row, column = (int(part) for part in ctx.triggered_id["index"].split(":"))
            first, second = context.category(project, *values[:2]), context.category(project, *values[3:5])
            members = cell(first, values[2], second, values[5], (row, column))
            label = f"{cluster_name(row)} and {cluster_name(column)} of {values[5]}"
            return selection((project, values[0], first.id), members, label)


def _offer(
    context: PanelContext, project: str, here: dict[str, str], wanted: dict[str, str | None]
) -> list[Any]:
    """Return options and values of the four selects: what was chosen where it exists, else the next other."""
    analyses = list(context.projects[project].analyses)
    analysis = _keep(wanted["analysis"], analyses, here["analysis"])
    categories = context.projects[project].analysis(analysis).categories
    category = _keep(wanted["category"], list(categories), here["category"])
    found = categories[category]
    same = (analysis, category) == (here["analysis"], here["category"])
    others = [c for c in found.clusterings if not same or c != here["clustering"]]
    clustering = _keep(wanted["clustering"], found.clusterings, (others or found.clusterings or [""])[0])
    flat = [name for name in found.embeddings if name != "spectral"]
    embedding = _keep(wanted["embedding"], found.embeddings, (flat or found.embeddings or [""])[0])
    options = [
        analyses,
        [{"value": c.id, "label": c.name} for c in categories.values()],
        found.clusterings,
        found.embeddings,
    ]
    return [*options, analysis, category, clustering, embedding]


def _keep(wanted: str | None, known: list[str], start: str) -> str:
    return wanted if wanted in known else start if start in known else next(iter(known), "")


def _overlap(context: PanelContext, found: Overlap, one: str, two: str) -> list[Any]:
    if not found.shared:
        return [
            html.P("The two classes share no samples; the maps can still be compared.", className="empty")
        ]
    rand = "–" if found.rand is None else f"{found.rand:.2f}"
    facts = html.P(
        [
            html.Strong(rand),
            " adjusted Rand index",
            html.Span(f" · {found.shared:,} shared samples", className="quiet"),
        ],
        title="1: the same grouping; 0: what chance would give",
    )
    head = html.Tr([html.Th(f"{one} ↓  {two} →"), *(html.Th(_name(c)) for c in found.columns)])
    most = int(found.table.max()) or 1
    rows = [
        html.Tr(
            [
                html.Th(_name(row)),
                *(_cell(context, row, c, n, most) for c, n in zip(found.columns, counts, strict=True)),
            ]
        )
        for row, counts in zip(found.rows, found.table.tolist(), strict=True)
    ]
    return [facts, html.Table([html.Thead(head), html.Tbody(rows)], className="contingency")]


def _name(cluster: int) -> list[Any]:
    swatch = html.Span(className="swatch", style={"backgroundColor": cluster_colour(cluster)})
    return [swatch, "noise" if cluster < 0 else str(cluster)]


def _cell(context: PanelContext, row: int, column: int, count: int, most: int) -> html.Td:
    tint = f"color-mix(in srgb, var(--accent) {60 * count // most}%, transparent)"
    button = html.Button(
        f"{count:,}",
        id=context.item("cell", f"{row}:{column}"),
        disabled=not count,
        title=f"Select the {count:,} samples in both",
        style={"background": tint},
    )
    return html.Td(button)


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the comparison."""
    return [PanelSpec("compare", Compare, slot="bottom", order=40)]
