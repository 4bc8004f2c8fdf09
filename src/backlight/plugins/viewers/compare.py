"""Another project, analysis, class or clustering beside the chosen one: map, linked selection, overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import ALL, Input, Output, State, ctx, html, no_update
from numpy.typing import NDArray

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import PLACE, SCOPE, Callbacks, Panel, PanelContext, selection, typed_array
from backlight.core.project import Category, Project
from backlight.core.projects.curation import Curation
from backlight.plugins.viewers.controls import clicked, select, swatch
from backlight.plugins.viewers.embedding import SCRIPT, map_place, map_stores, read_groups, read_points
from backlight.plugins.viewers.overlap import Side, cell, overlap, renumbered, side

FIELDS = {
    "project": "Project",
    "analysis": "Analysis",
    "category": "Class",
    "clustering": "Clustering",
    "embedding": "Map",
}


@final
@dataclass(frozen=True)
class Compare(Panel):
    """A second map with linked selection; contingency table and adjusted Rand index of two clusterings."""

    title: ClassVar[str] = "Compare"

    def layout(self, context: PanelContext) -> Any:
        """Return the choice of what to compare with, the place of the overlap, and the second map."""
        fields = [
            html.Div(
                select(context, key, word),
                className="control",
                id=context.id(f"{key}-control"),
                hidden=key == "project" and len(context.projects) < 2,
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
        callback.script(SCRIPT)
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
            *[Input(context.id(key), "value") for key in keys[:3]],
            *[State(context.id(key), "value") for key in keys[3:]],
        )
        def offer(shown: str, *values: Any) -> Any:
            here = dict(zip(PLACE, values[:4], strict=True))
            wanted = dict(zip(keys, values[4:], strict=True))
            if shown != context.name or not here["category"]:
                return [no_update] * (2 * len(keys))
            return _offer(context, here, wanted)

    def _show(self, callback: Callbacks, context: PanelContext) -> None:
        other = [Input(context.id(key), "value") for key in FIELDS]

        @callback(
            Output(context.id("overlap"), "children"),
            Output(context.id("points"), "data"),
            Output(context.id("groups"), "data"),
            *other,
            *[Input(context.store(store), "data") for store in PLACE],
        )
        def show(*values: Any) -> Any:
            other, here = values[: len(FIELDS)], values[len(FIELDS) :]
            if not all(other[:3]) or not here[2]:
                return no_update, no_update, no_update
            both = Both(context, here, other)
            scope, clustering, embedding = (*other[:2], both.second.id), other[3], other[4]
            points, groups = read_points(context, scope, {"name": embedding, "x": 0, "y": 1}), None
            if points is not None:
                points |= {"index": typed_array(both.numbers()), "home": here[0], "known": both.known}
                groups = read_groups(context, scope, clustering or None)
            if not both.clustered:
                return html.P("Both need a clustering to be compared.", className="empty"), points, groups
            return _overlap(context, both), points, groups

        callback.clientside(
            f"""(points, groups, selection) => {{
                const here = points && selection && selection.scope[0] === points.home;
                const linked = here ? {{...selection, scope: points.scope, label: "linked"}} : null;
                const word = "drawn in the comparison";
                return backlight.embedding.draw("{context.name}", word, points, groups, linked);
            }}""",
            Output(context.id("map"), "aria-label"),
            Input(context.id("points"), "data"),
            Input(context.id("groups"), "data"),
            Input(context.store("selection"), "data"),
        )

    def _link(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            """(drawn, points, ...scope) => {
                if (!drawn) return window.dash_clientside.no_update;
                const found = drawn.selection;
                const known = found ? backlight.array(found.indices).filter((k) => k < points.known) : [];
                return known.length ? {...found, scope, indices: backlight.pack(known)} : null;
            }""",
            Output(context.store("selection"), "data"),
            Input(context.id("drawn"), "data"),
            State(context.id("points"), "data"),
            *[State(context.store(store), "data") for store in SCOPE],
        )

        @callback(
            Output(context.store("selection"), "data"),
            Input(context.item("cell", ALL), "n_clicks"),
            *[State(context.store(store), "data") for store in PLACE],
            *[State(context.id(key), "value") for key in FIELDS],
        )
        def choose(clicks: list[int | None], *values: str) -> Any:
            if not clicked():
                return no_update
            both = Both(context, values[:4], values[4:])
            row, column = (int(part) for part in ctx.triggered_id["index"].split(":"))
            names = [curation.name(c) for curation, c in zip(both.curations, (row, column), strict=True)]
            label = f"{names[0]} and {names[1]} of {both.other[3]}"
            return selection((*values[:2], both.first.id), cell(*both.sides, (row, column)), label)


@dataclass(frozen=True)
class Both:
    """The two classes that are compared: (project, analysis, category, clustering, …) of either."""

    context: PanelContext
    here: Sequence[str]
    other: Sequence[str]

    @property
    def projects(self) -> tuple[Project, Project]:
        """Their projects."""
        return self.context.projects[self.here[0]], self.context.projects[self.other[0]]

    @property
    def first(self) -> Category:
        """The class that is looked at."""
        return self.context.category(*self.here[:3])

    @property
    def second(self) -> Category:
        """The class beside it."""
        return self.context.category(*self.other[:3])

    @property
    def clustered(self) -> bool:
        """Whether both have the clusterings chosen."""
        return self.here[3] in self.first.clusterings and self.other[3] in self.second.clusterings

    @property
    def curations(self) -> tuple[Curation, Curation]:
        """What people made of their clusters."""
        ours, theirs = self.projects
        return ours.curation(self.first, self.here[3]), theirs.curation(self.second, self.other[3])

    @property
    def sides(self) -> tuple[Side, Side]:
        """Their clusters, numbered by the project that is looked at."""
        ours, theirs = self.projects
        index = renumbered(ours, self.first, theirs, self.second)
        return side(ours, self.first, self.here[3]), side(theirs, self.second, self.other[3], index)

    @property
    def known(self) -> int:
        """Numbers from here on stand for samples that the project looked at does not have."""
        return len(self.projects[0].dataset)

    def numbers(self) -> NDArray[np.int64]:
        """Return a number for each sample of the second class: its dataset index here, or `known` and up."""
        ours, theirs = self.projects
        index = renumbered(ours, self.first, theirs, self.second)
        return np.where(index < 0, self.known + np.arange(len(index)), index)


def _offer(context: PanelContext, here: dict[str, str], wanted: dict[str, str | None]) -> list[Any]:
    """Return options and values of the selects: what was chosen where it exists, else the next other."""
    project = _keep(wanted["project"], list(context.projects), here["project"])
    analyses = list(context.projects[project].analyses)
    analysis = _keep(wanted["analysis"], analyses, here["analysis"])
    categories = context.projects[project].analysis(analysis).categories
    category = _keep(wanted["category"], list(categories), here["category"])
    found = categories[category]
    same = (project, analysis, category) == (here["project"], here["analysis"], here["category"])
    others = [c for c in found.clusterings if not same or c != here["clustering"]]
    clustering = _keep(wanted["clustering"], found.clusterings, (others or found.clusterings or [""])[0])
    flat = [name for name in found.embeddings if name != "spectral"]
    embedding = _keep(wanted["embedding"], found.embeddings, (flat or found.embeddings or [""])[0])
    options = [
        list(context.projects),
        analyses,
        [{"value": c.id, "label": c.name} for c in categories.values()],
        found.clusterings,
        found.embeddings,
    ]
    return [*options, project, analysis, category, clustering, embedding]


def _keep(wanted: str | None, known: list[str], start: str) -> str:
    return wanted if wanted in known else start if start in known else next(iter(known), "")


def _overlap(context: PanelContext, both: Both) -> list[Any]:
    found = overlap(*both.sides)
    if not found.shared:
        ours, theirs = both.projects
        by = "" if ours is theirs else " by the names of their files"
        said = f"The two classes share no samples{by}; the maps can still be compared."
        return [html.P(said, className="empty")]
    rand = "–" if found.rand is None else f"{found.rand:.2f}"
    facts = html.P(
        [
            html.Strong(rand),
            " adjusted Rand index",
            html.Span(f" · {found.shared:,} shared samples", className="quiet"),
        ],
        title="1: the same grouping; 0: what chance would give",
    )
    down, across = both.curations
    corner = html.Th(f"{both.here[3]} ↓  {both.other[3]} →")
    head = html.Tr([corner, *(html.Th(_name(c, across), scope="col") for c in found.columns)])
    most = int(found.table.max()) or 1
    rows = [
        html.Tr(
            [
                html.Th(_name(row, down), scope="row"),
                *(_cell(context, row, c, n, most) for c, n in zip(found.columns, counts, strict=True)),
            ]
        )
        for row, counts in zip(found.rows, found.table.tolist(), strict=True)
    ]
    return [facts, html.Table([html.Thead(head), html.Tbody(rows)], className="contingency")]


def _name(cluster: int, curation: Curation) -> list[Any]:
    return [swatch(cluster), curation.name(cluster).removeprefix("cluster ")]


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
