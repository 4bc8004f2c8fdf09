"""The overview: classes x analyses ranked by how suspicious they look; a click goes to the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, mean_url, selection
from backlight.core.project import Project
from backlight.plugins.viewers.columns import (
    BY_KEY,
    COLUMNS,
    START,
    Column,
    aria,
    heads,
    kept,
    order_text,
    ranked,
)
from backlight.plugins.viewers.controls import button, clicked, swatch
from backlight.plugins.viewers.ranking import Row, read, read_row, with_accuracy

NOTHING = "–"
PER_PAGE = 50
EMPTY = "No class or analysis has “{}” in its name."


@final
@dataclass(frozen=True)
class Overview(Panel):
    """Classes ranked by suspicion, with their most suspicious cluster; sortable, one click to the place."""

    title: ClassVar[str] = "Overview"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading, the table and the stores that remember order and page."""
        search = dbc.Input(
            id=context.id("search"),
            type="search",
            placeholder="Filter",
            size="sm",
            debounce=0.2,
            maxLength=100,
        )
        title = "Show every score in the place of the map"
        wide = button("All scores", context.id("widen"), title, **{"aria-pressed": "false"})
        head = html.Div(
            [
                html.H2("Classes"),
                html.Span("by suspicion", id=context.id("order"), className="quiet grow"),
                html.Label("Filter", htmlFor=context.id("search"), className="visually-hidden"),
                search,
                wide,
            ],
            className="panel-head",
        )
        headings = html.Tr(
            [
                html.Th(
                    _heading(context, c), id=context.item("th", c.key), className="wide" if c.wide else ""
                )
                for c in COLUMNS
            ]
        )
        table = html.Table([html.Thead(headings), html.Tbody(id=context.id("rows"))], className="ranking")
        pager = html.Div(
            [
                button("‹", context.id("previous"), "Previous classes"),
                html.Span(id=context.id("pages"), className="quiet", role="status"),
                button("›", context.id("next"), "Next classes"),
            ],
            id=context.id("pager"),
            className="pager",
            hidden=True,
        )
        stores = [
            dcc.Store(id=context.id("sort"), data=START),
            dcc.Store(id=context.id("page"), data=0),
            dcc.Store(id=context.id("wide"), data=False),
        ]
        return html.Div(
            [*stores, head, html.Div(table, className="scroll"), pager],
            id=context.id("root"),
            className="overview",
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Fill, filter and sort the table; a click on a row selects its class and suspicious cluster."""
        self._order(callback, context)
        self._fill(callback, context)
        self._go(callback, context)

    def _order(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("sort"), "data"),
            Input(context.item("heading", ALL), "n_clicks"),
            State(context.id("sort"), "data"),
            prevent_initial_call=True,
        )
        def sort(clicks: list[int | None], now: dict[str, Any]) -> Any:
            if not clicked():
                return no_update
            key = ctx.triggered_id["index"]
            return {
                "key": key,
                "descending": not now["descending"] if key == now["key"] else BY_KEY[key].descending,
            }

        callback.clientside(
            f"""(back, forward, sort, search, project, analysis, page) => {{
                const turn = {{"{context.id("previous")}": -1, "{context.id("next")}": 1}};
                const step = turn[window.dash_clientside.callback_context.triggered_id];
                return step ? Math.max(0, page + step) : 0;
            }}""",
            Output(context.id("page"), "data"),
            Input(context.id("previous"), "n_clicks"),
            Input(context.id("next"), "n_clicks"),
            Input(context.id("sort"), "data"),
            Input(context.id("search"), "value"),
            *[Input(context.store(store), "data") for store in ("project", "analysis")],
            State(context.id("page"), "data"),
            prevent_initial_call=True,
        )
        callback.clientside(
            """(clicks, wide) => {
                const { no_update, callback_context } = window.dash_clientside;
                const now = (callback_context.triggered_id || "").endsWith("widen") ? !wide : wide;
                const text = now ? "Back to the map" : "All scores";
                const look = now ? "overview wide" : "overview";
                return [now === wide ? no_update : now, look, String(now), text];
            }""",
            Output(context.id("wide"), "data", allow_duplicate=True),
            Output(context.id("root"), "className"),
            Output(context.id("widen"), "aria-pressed"),
            Output(context.id("widen"), "children"),
            Input(context.id("widen"), "n_clicks"),
            Input(context.id("wide"), "data"),
            prevent_initial_call=True,
        )

    def _fill(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("rows"), "children"),
            Output(context.id("order"), "children"),
            Output(context.item("th", ALL), "aria-sort"),
            Output(context.item("heading", ALL), "children"),
            Output(context.item("th", ALL), "hidden"),
            Output(context.id("pages"), "children"),
            Output(context.id("pager"), "hidden"),
            *[Input(context.store(store), "data") for store in ("project", "analysis", "clustering")],
            Input(context.id("sort"), "data"),
            Input(context.id("page"), "data"),
            Input(context.id("wide"), "data"),
            Input(context.id("search"), "value"),
        )
        def fill(
            project: str,
            analysis: str,
            clustering: str | None,
            order: dict[str, Any],
            page: int,
            wide: bool,
            search: str | None,
        ) -> Any:
            sorting = [aria(column, order) for column in COLUMNS]
            if not project or not analysis:
                return [], "", sorting, heads([]), [column.wide for column in COLUMNS], "", True
            opened = context.projects[project]
            everything = [row for a in opened.analyses for row in with_accuracy(opened, a)] if wide else []
            everything = everything or read(context, project, analysis)
            scale = max([row.suspicion or 0.0 for row in everything], default=0.0) or 1.0
            rows = ranked([row for row in everything if _fits(row, search)], order)
            pages = -(-len(rows) // PER_PAGE)
            page = min(int(page or 0), max(0, pages - 1))
            shown = rows[page * PER_PAGE : (page + 1) * PER_PAGE]
            keeps = [kept(column, everything, wide) for column in COLUMNS]
            columns = [column for column, keep in zip(COLUMNS, keeps, strict=True) if keep]
            listed: list[Any] = [_row(context, opened, row, columns, scale) for row in shown]
            if search and not rows:
                listed = [html.Tr(html.Td(EMPTY.format(search), colSpan=len(columns), className="empty"))]
            hidden, numbers = [not keep for keep in keeps], f"{page + 1} of {pages}"
            text = order_text(order, everything, len(rows))
            return listed, text, sorting, heads(everything), hidden, numbers, pages < 2

    def _go(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            *[Output(context.store(store), "data") for store in ("analysis", "category", "clustering")],
            Output(context.store("selection"), "data"),
            Output(context.id("wide"), "data", allow_duplicate=True),
            Input(context.item("row", ALL), "n_clicks"),
            State(context.store("project"), "data"),
        )
        def go(clicks: list[int | None], project: str) -> Any:
            if not clicked():
                return (no_update,) * 5
            analysis, _, category = str(ctx.triggered_id["index"]).partition("\n")
            found = context.category(project, analysis, category)
            row = read_row(found)
            if row.suspect is None or row.clustering is None:
                return analysis, found.id, no_update, None, False
            curation = context.projects[project].curation(found, row.clustering)
            members = context.projects[project].members(found, row.clustering, row.suspect[0])
            chosen = selection((project, analysis, found.id), members, curation.name(row.suspect[0]))
            return analysis, found.id, row.clustering, chosen, False

        callback.clientside(
            """(analysis, category, rows, ids) =>
                ids.map(({index}) => index === `${analysis}\\n${category}` ? "chosen" : "")""",
            Output(context.item("row", ALL), "className"),
            *[Input(context.store(store), "data") for store in ("analysis", "category")],
            Input(context.id("rows"), "children"),
            State(context.item("row", ALL), "id"),
        )


def _fits(row: Row, search: str | None) -> bool:
    return not search or search.casefold() in f"{row.name}\n{row.analysis}".casefold()


def _heading(context: PanelContext, column: Column) -> html.Button:
    return html.Button(
        column.text, id=context.item("heading", column.key), title=column.title, className="heading"
    )


def _row(context: PanelContext, project: Project, row: Row, columns: list[Column], scale: float) -> html.Tr:
    cells = [_cell(context, project, row, column, scale) for column in columns]
    return html.Tr(cells, id=context.item("row", f"{row.analysis}\n{row.category}"), n_clicks=0)


def _cell(context: PanelContext, project: Project, row: Row, column: Column, scale: float) -> html.Td:
    value = column.value(row)
    if column.key == "name":
        return html.Td(html.Button(row.name, className="link", title=row.name), className="name")
    if column.key == "suspect":
        return html.Td(_suspect_cell(context, project, row), className="suspect")
    if column.key == "analysis":
        return html.Td(row.analysis, className="quiet")
    text = NOTHING if value is None else format(value, column.form).replace("-", "−")
    if column.key != "suspicion":
        return html.Td(text, className="number")
    chance = "" if row.baseline is None else f"τ is {row.baseline:.2f} by chance"
    bar = html.Span(className="bar", style={"width": f"{100 * max(0.0, value or 0.0) / scale:.0f}%"})
    return html.Td([html.Span(text), html.Span(bar, className="track")], className="number tau", title=chance)


def _suspect_cell(context: PanelContext, project: Project, row: Row) -> Any:
    if row.suspect is None or row.clustering is None:
        return NOTHING
    cluster, size, purity = row.suspect
    category = context.category(project.name, row.analysis, row.category)
    curation = project.curation(category, row.clustering)
    name, scope = curation.name(cluster), (project.name, row.analysis, category.id)
    parts = [
        f"{size:,} sample{'' if size == 1 else 's'}",
        *([f"{purity:.0%} predicted alike"] if purity is not None else []),
    ]
    picture = html.Img(
        src=mean_url(scope, row.clustering, cluster),
        alt=f"mean heatmap of {name}",
        className="suspect-picture",
    )
    return html.Span(
        [
            swatch(cluster),
            picture,
            html.Span(f"{name.removeprefix('cluster ')} · {size:,}", className="suspect-name"),
        ],
        className="suspect-cell",
        title=f"{name}: {', '.join(parts)} ({row.clustering})",
    )


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the overview."""
    return [PanelSpec("overview", Overview, slot="main", order=10)]
