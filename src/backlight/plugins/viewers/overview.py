"""The overview: every class ranked by how suspicious its strategies look; a click goes to the place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, selection
from backlight.plugins.viewers.palette import cluster_colour, cluster_name
from backlight.plugins.viewers.ranking import Row, read, read_row

NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, what it explains, what it sorts by."""

    key: str
    text: str
    title: str
    value: Callable[[Row], Any]
    descending: bool = True


COLUMNS = (
    Column("name", "Class", "Name of the class", lambda row: row.name.lower(), descending=False),
    Column(
        "suspicion",
        "Suspicion",
        "How far the suspicious cluster and the rest keep to themselves: homophily, or tau in older analyses",
        lambda row: row.suspicion,
    ),
    Column(
        "tau",
        "τ",
        "Separability of the clusters: high values hint at a strategy of its own",
        lambda row: row.tau,
    ),
    Column("size", "Samples", "Number of samples analysed", lambda row: row.size),
    Column("gap", "Gap", "Number of clusters the eigengap suggests", lambda row: row.gap),
    Column(
        "suspect",
        "Suspicious",
        "Most suspicious cluster and its size",
        lambda row: row.suspect and row.suspect[1],
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}
START = {"key": "suspicion", "descending": True}


@final
@dataclass(frozen=True)
class Overview(Panel):
    """Classes ranked by suspicion, with their most suspicious cluster; sortable, one click to the place."""

    title: ClassVar[str] = "Overview"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading, the table and the store that remembers the order."""
        head = html.Div(
            [
                html.H2("Classes"),
                html.Span("most suspicious first", id=context.id("order"), className="quiet"),
            ],
            className="panel-head",
        )
        headings = html.Tr([html.Th(_heading(context, c), id=context.item("th", c.key)) for c in COLUMNS])
        table = html.Table([html.Thead(headings), html.Tbody(id=context.id("rows"))], className="ranking")
        return html.Div(
            [dcc.Store(id=context.id("sort"), data=START), head, html.Div(table, className="scroll")]
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Fill and sort the table; a click on a row selects its class and most suspicious cluster."""
        place = [context.store("project"), context.store("analysis")]

        @callback(
            Output(context.id("sort"), "data"),
            Input(context.item("heading", ALL), "n_clicks"),
            State(context.id("sort"), "data"),
            prevent_initial_call=True,
        )
        def sort(clicks: list[int | None], now: dict[str, Any]) -> Any:
            if not any(clicks) or not ctx.triggered_id:
                return no_update
            key = ctx.triggered_id["index"]
            return {
                "key": key,
                "descending": not now["descending"] if key == now["key"] else BY_KEY[key].descending,
            }

        @callback(
            Output(context.id("rows"), "children"),
            Output(context.id("order"), "children"),
            Output(context.item("th", ALL), "aria-sort"),
            *[Input(store, "data") for store in place],
            Input(context.id("sort"), "data"),
        )
        def fill(project: str, analysis: str, order: dict[str, Any]) -> Any:
            sorting = [_aria(column, order) for column in COLUMNS]
            if not project or not analysis:
                return [], "", sorting
            rows = ranked(read(context, project, analysis), order)
            scale = max([row.suspicion or 0.0 for row in rows], default=0.0) or 1.0
            return [_row(context, row, scale) for row in rows], _order_text(order, rows), sorting

        @callback(
            Output(context.store("category"), "data"),
            Output(context.store("clustering"), "data"),
            Output(context.store("selection"), "data"),
            Input(context.item("row", ALL), "n_clicks"),
            *[State(store, "data") for store in place],
        )
        def go(clicks: list[int | None], project: str, analysis: str) -> Any:
            if not any(clicks) or not ctx.triggered_id:
                return no_update, no_update, no_update
            found = context.category(project, analysis, ctx.triggered_id["index"])
            row = read_row(found)
            if row.suspect is None or row.clustering is None:
                return found.id, no_update, None
            members = found.members(row.clustering, row.suspect[0])
            return (
                found.id,
                row.clustering,
                selection((project, analysis, found.id), members, cluster_name(row.suspect[0])),
            )

        callback.clientside(
            """(category, rows, ids) => ids.map(({index}) => index === category ? "chosen" : "")""",
            Output(context.item("row", ALL), "className"),
            Input(context.store("category"), "data"),
            Input(context.id("rows"), "children"),
            State(context.item("row", ALL), "id"),
        )


def ranked(rows: list[Row], order: dict[str, Any]) -> list[Row]:
    """Return the rows in the chosen order; what is missing goes last either way."""
    value = BY_KEY[order["key"]].value
    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=order["descending"])
    return known + [row for row in rows if value(row) is None]


def _aria(column: Column, order: dict[str, Any]) -> str:
    return "none" if column.key != order["key"] else "descending" if order["descending"] else "ascending"


def _order_text(order: dict[str, Any], rows: list[Row]) -> str:
    if all(row.suspicion is None for row in rows):
        return f"{len(rows):,} classes, not scored"
    return "most suspicious first" if order == START else f"by {BY_KEY[order['key']].text.lower()}"


def _heading(context: PanelContext, column: Column) -> html.Button:
    return html.Button(
        column.text, id=context.item("heading", column.key), title=column.title, className="heading"
    )


def _row(context: PanelContext, row: Row, scale: float) -> html.Tr:
    suspicion = NOTHING if row.suspicion is None else f"{row.suspicion:.2f}"
    tau = NOTHING if row.tau is None else f"{row.tau:.2f}"
    chance = "" if row.baseline is None else f"{row.baseline:.2f} by chance"
    bar = html.Span(className="bar", style={"width": f"{100 * max(0.0, row.suspicion or 0.0) / scale:.0f}%"})
    cells = [
        html.Td(html.Button(row.name, className="link", title=row.name), className="name"),
        html.Td(
            [html.Span(suspicion), html.Span(bar, className="track")],
            className="number tau",
            title=row.ranked_by,
        ),
        html.Td(tau, className="number", title=chance),
        html.Td(f"{row.size:,}", className="number"),
        html.Td(NOTHING if row.gap is None else str(row.gap), className="number"),
        html.Td(_suspect_cell(row), className="suspect"),
    ]
    return html.Tr(cells, id=context.item("row", row.category), n_clicks=0)


def _suspect_cell(row: Row) -> Any:
    if row.suspect is None:
        return NOTHING
    cluster, size, purity = row.suspect
    parts = [f"{size:,} samples", *([f"{purity:.0%} predicted alike"] if purity is not None else [])]
    return html.Span(
        [
            html.Span(className="swatch", style={"backgroundColor": cluster_colour(cluster)}),
            f"{cluster} · {size:,}",
        ],
        title=f"{cluster_name(cluster)}: {', '.join(parts)} ({row.clustering})",
    )


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the overview."""
    return [PanelSpec("overview", Overview, slot="main", order=10)]
