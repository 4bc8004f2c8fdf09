"""The selected samples: a paged grid of inputs, heatmaps or overlays, and a large view of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
import numpy as np
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.errors import FormatError, RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import (
    COLOUR_DEFAULTS,
    MODES,
    SAMPLINGS,
    Callbacks,
    Mode,
    Panel,
    PanelContext,
    image_url,
    selected,
    selection,
)
from backlight.core.pictures.heatmap import COLOUR_MAPS, SCALINGS
from backlight.core.project import Category, Project
from backlight.core.projects.sample import Sample, describe
from backlight.plugins.viewers.arranging import DOWN, ORDERS, Place, arranged, orders
from backlight.plugins.viewers.summary import analysis_space

PER_PAGE = 24
SCALING_WORDS = [
    {"value": value, "label": word}
    for value, word in zip(
        SCALINGS,
        (
            "per picture",
            "shared by all",
            "up to the 99th percentile",
            "weak ones lifted",
            "positive only",
            "negative only",
        ),
        strict=True,
    )
]
HEADINGS = {
    "index": "Index",
    "label": "Label",
    "prediction": "Predicted",
    "confidence": "Confidence",
    "cluster": "Cluster",
    "tags": "Tags",
    "file": "File",
}
"""What a column of the table is sorted by, and what it is called."""

MOST_CHANNELS = 12
EMPTY = "Select samples to see them here: drag on the map, or click a cluster or a class."


@final
@dataclass(frozen=True)
class Samples(Panel):
    """Grid of the selected samples with label, prediction and confidence; a click opens the large view."""

    title: ClassVar[str] = "Samples"

    def layout(self, context: PanelContext) -> Any:
        """Return the head with picture mode, colour map and pages, the grid, and the large view."""
        modes = dbc.RadioItems(
            id=context.id("mode"),
            options=[{"label": mode.capitalize(), "value": mode} for mode in MODES],
            value="overlay",
            className="switch",
            inputClassName="btn-check",
            labelClassName="btn btn-sm",
            labelCheckedClassName="active",
        )
        view = dbc.RadioItems(
            id=context.id("view"),
            options=[{"label": "Grid", "value": "grid"}, {"label": "Table", "value": "table"}],
            value="grid",
            className="switch",
            inputClassName="btn-check",
            labelClassName="btn btn-sm",
            labelCheckedClassName="active",
        )
        order = dbc.Select(id=context.id("order"), options=ORDERS, value="given", size="sm")
        search = dbc.Input(
            id=context.id("search"),
            type="search",
            placeholder="Search",
            size="sm",
            debounce=0.3,
            maxLength=100,
        )
        pager = html.Div(
            [
                html.Button(
                    "‹",
                    id=context.id("previous"),
                    title="Previous page",
                    className="btn btn-sm",
                    **{"data-key": "p"},
                ),
                html.Span(id=context.id("pages"), className="quiet"),
                html.Button(
                    "›", id=context.id("next"), title="Next page", className="btn btn-sm", **{"data-key": "n"}
                ),
            ],
            id=context.id("pager"),
            className="pager",
        )
        head = html.Div(
            [
                html.H2("Samples"),
                html.Span(id=context.id("count"), className="quiet grow"),
                html.Label("Search", htmlFor=context.id("search"), className="visually-hidden"),
                search,
                html.Label("Order", htmlFor=context.id("order"), className="visually-hidden"),
                order,
                view,
                pager,
                modes,
                _pictures(context),
            ],
            className="panel-head",
        )
        grid = html.Div(html.P(EMPTY, className="empty"), id=context.id("grid"), className="grid")
        return html.Div(
            [
                dcc.Store(id=context.id("page")),
                dcc.Store(id=context.id("listed")),
                head,
                grid,
                _large(context),
            ]
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Choose the page in the browser; send only what a page shows."""
        self._choose_colour(callback, context)
        self._list(callback, context)
        self._choose_page(callback, context)
        self._show_page(callback, context)
        self._show_sample(callback, context)
        self._find_similar(callback, context)

    def _choose_colour(self, callback: Callbacks, context: PanelContext) -> None:
        keys = ("mode", "cmap", "scaling", "sampling")
        callback.clientside(
            """(mode, cmap, scaling, sampling, colour) => {
                const { no_update, callback_context } = window.dash_clientside;
                const changed = callback_context.triggered.map(({ prop_id }) => prop_id);
                document.body.dataset.sampling = colour.sampling || "auto";
                if (changed.includes("store--colour.data"))
                    return [no_update, colour.mode, colour.cmap, colour.scaling, colour.sampling];
                document.body.dataset.sampling = sampling;
                const keep = [no_update, no_update, no_update, no_update];
                return [{...colour, mode, cmap, scaling, sampling}, ...keep];
            }""",
            Output(context.store("colour"), "data"),
            *[Output(context.id(key), "value") for key in keys],
            *[Input(context.id(key), "value") for key in keys],
            Input(context.store("colour"), "data"),
        )
        callback.clientside(
            "(colour) => `/colourbar.png?${new URLSearchParams({cmap: colour.cmap})}`",
            Output(context.id("bar"), "src"),
            Input(context.store("colour"), "data"),
        )

    def _list(self, callback: Callbacks, context: PanelContext) -> None:
        # As selected, a selection stays in the browser; only to sort or search it goes to the server.
        callback.clientside(
            """(selection, order, search) =>
                order === "given" && !search ? selection : window.dash_clientside.no_update""",
            Output(context.id("listed"), "data"),
            Input(context.store("selection"), "data"),
            Input(context.id("order"), "value"),
            Input(context.id("search"), "value"),
        )

        @callback(
            Output(context.id("listed"), "data", allow_duplicate=True),
            Input(context.store("selection"), "data"),
            Input(context.id("order"), "value"),
            Input(context.id("search"), "value"),
            State(context.store("clustering"), "data"),
            prevent_initial_call=True,
        )
        def arrange(
            chosen: dict[str, Any] | None, order: str, search: str | None, clustering: str | None
        ) -> Any:
            if order == "given" and not search:
                return no_update
            if chosen is None:
                return None
            project, analysis, category = chosen["scope"]
            place = Place(
                context.projects[project], context.category(project, analysis, category), clustering
            )
            found = arranged(place, selected(chosen), order, search or "")
            label = f"{chosen['label']}, search “{search}”" if search else chosen["label"]
            return selection(chosen["scope"], found, label)

    def _choose_page(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            f"""(selection, back, forward, shown) => {{
                const chosen = selection ? backlight.array(selection.indices) : [];
                const none = selection ? `nothing · ${{selection.label}}` : "";
                if (!chosen.length) return [null, none, "", true];
                const turn = {{"{context.id("previous")}": -1, "{context.id("next")}": 1}};
                const step = turn[window.dash_clientside.callback_context.triggered_id] || 0;
                const total = chosen.length, pages = Math.ceil(total / {PER_PAGE});
                const page = step && shown ? (shown.page + step + pages) % pages : 0;
                const indices = [...chosen.slice(page * {PER_PAGE}, (page + 1) * {PER_PAGE})];
                const count = `${{total.toLocaleString("en")}} · ${{selection.label}}`;
                return [{{page, indices, scope: selection.scope, project: selection.scope[0]}}, count,
                        `${{page + 1}} of ${{pages}}`, pages < 2];
            }}""",
            Output(context.id("page"), "data"),
            Output(context.id("count"), "children"),
            Output(context.id("pages"), "children"),
            Output(context.id("pager"), "hidden"),
            Input(context.id("listed"), "data"),
            Input(context.id("previous"), "n_clicks"),
            Input(context.id("next"), "n_clicks"),
            State(context.id("page"), "data"),
        )

    def _find_similar(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("selection"), "data"),
            Output(context.id("large"), "is_open", allow_duplicate=True),
            Input(context.id("similar"), "n_clicks"),
            State(context.store("sample"), "data"),
            *[State(context.store(s), "data") for s in ("project", "analysis", "category", "clustering")],
        )
        def find(
            clicks: int | None,
            sample: int | None,
            project: str,
            analysis: str,
            category: str,
            clustering: str,
        ) -> Any:
            if not clicks or sample is None:
                return no_update, no_update
            found = context.category(project, analysis, category)
            scope = (project, analysis, category)
            return selection(scope, similar(found, clustering, sample), f"nearest to {sample}"), False

    def _show_page(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("grid"), "children"),
            Output(context.id("grid"), "className"),
            Input(context.id("page"), "data"),
            Input(context.store("colour"), "data"),
            Input(context.id("view"), "value"),
            Input(context.store("clustering"), "data"),
            State(context.id("order"), "value"),
        )
        def show(
            page: dict[str, Any] | None, colour: dict[str, str], view: str, clustering: str | None, order: str
        ) -> Any:
            if not page:
                return html.P(EMPTY, className="empty"), "grid"
            project = context.projects[page["project"]]
            found = describe(project, page["indices"])
            if view != "table":
                return [_thumbnail(context, project.name, s, colour) for s in found], "grid"
            place = Place(project, context.category(*page["scope"]), clustering)
            return _table(context, place, found, colour, order), "as-table"

        @callback(
            Output(context.id("order"), "value"),
            Output(context.id("order"), "options"),
            Input(context.item("sort", ALL), "n_clicks"),
            State(context.id("order"), "value"),
            prevent_initial_call=True,
        )
        def sort(clicks: list[int | None], order: str) -> Any:
            if not ctx.triggered_id or not ctx.triggered[0]["value"]:
                return no_update, no_update
            key = str(ctx.triggered_id["index"])
            order = f"{key}{DOWN}" if order == key else key
            return order, orders(order)

    def _show_sample(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("sample"), "data"),
            Input(context.item("thumbnail", ALL), "n_clicks"),
            Input(context.item("step", ALL), "n_clicks"),
            State(context.store("sample"), "data"),
            State(context.id("page"), "data"),
        )
        def choose(clicks: list[int | None], steps: list[int | None], sample: int | None, page: Any) -> Any:
            if not ctx.triggered_id or not ctx.triggered[0]["value"] or not page:
                return no_update
            if ctx.triggered_id["type"] == context.id("thumbnail"):
                return ctx.triggered_id["index"]
            shown = page["indices"]
            position = shown.index(sample) if sample in shown else 0
            return shown[(position + ctx.triggered_id["index"]) % len(shown)]

        @callback(
            Output(context.id("large"), "is_open"),
            Output(context.id("large-title"), "children"),
            Output(context.id("large-body"), "children"),
            Input(context.store("sample"), "data"),
            Input(context.store("colour"), "data"),
            State(context.id("page"), "data"),
            prevent_initial_call=True,
        )
        def enlarge(sample: int | None, colour: dict[str, str], page: dict[str, Any] | None) -> Any:
            if sample is None or not page or ctx.triggered_id != context.store("sample"):
                return no_update, no_update, no_update
            project = context.projects[page["project"]]
            found = describe(project, [sample])[0]
            body = _large_body(project.name, found, colour, _channels(project, found, colour))
            return True, found.label or f"Sample {sample}", body


def similar(category: Category, clustering: str | None, sample: int) -> list[int]:
    """Return dataset indices of the samples nearest to one in the analysis space, itself first."""
    space, row = analysis_space(category, clustering), np.flatnonzero(category.index == sample)
    if space is None or not len(row):
        raise RequestError("this sample has no neighbours here: it is not in the class, or there is no map")
    distance = np.linalg.norm(space - space[row[0]], axis=1)
    distance[row[0]] = -1.0
    nearest: list[int] = category.index[np.argsort(distance, kind="stable")[:PER_PAGE]].tolist()
    return nearest


def _pictures(context: PanelContext) -> html.Details:
    """Return the colour bar, which opens colour map, scaling and enlargement."""
    bar = html.Div(
        [
            html.Span("−"),
            html.Img(id=context.id("bar"), alt="colour bar, negative to positive"),
            html.Span("+"),
        ],
        className="colour-bar",
    )
    fields = [
        html.Div(
            [
                html.Label(word, htmlFor=context.id(key)),
                dbc.Select(id=context.id(key), options=options, value=COLOUR_DEFAULTS[key], size="sm"),
            ]
        )
        for key, word, options in (
            ("cmap", "Colour map", list(COLOUR_MAPS)),
            ("scaling", "Strength", SCALING_WORDS),
            ("sampling", "Enlarged", list(SAMPLINGS)),
        )
    ]
    summary = html.Summary(bar, title="Colour map, strength, enlargement")
    return html.Details(
        [summary, html.Div(fields, className="menu")], id=context.id("pictures"), className="drop"
    )


def _table(
    context: PanelContext, place: Place, samples: list[Sample], colour: dict[str, str], order: str
) -> html.Table:
    headings = [html.Th(html.Span("Picture", className="visually-hidden"))]
    for key, text in HEADINGS.items():
        way = {key: "ascending", f"{key}{DOWN}": "descending"}.get(order, "none")
        button = html.Button(
            text, id=context.item("sort", key), className="heading", title=f"Sort by {text.lower()}"
        )
        headings.append(html.Th(button, scope="col", **{"aria-sort": way}))
    indices, curation = np.array([s.index for s in samples], dtype=np.int64), place.curation
    listed = zip(samples, place.clusters(indices), place.tags(indices), strict=True)
    rows = [
        html.Tr(
            [
                html.Td(_thumbnail(context, place.project.name, s, colour)),
                html.Td(str(s.index), className="number"),
                html.Td(s.label or "–"),
                html.Td(
                    s.predicted[0][0] if s.predicted else "–", className="wrong" if s.correct is False else ""
                ),
                html.Td(f"{s.predicted[0][1]:.1%}" if s.predicted else "–", className="number"),
                html.Td("–" if cluster is None else curation.name(cluster)),
                html.Td(", ".join(tags)),
                html.Td(s.file_name, className="file", title=s.file_name),
            ]
        )
        for s, cluster, tags in listed
    ]
    return html.Table([html.Thead(html.Tr(headings)), html.Tbody(rows)], className="sample-table")


def _thumbnail(context: PanelContext, project: str, sample: Sample, colour: dict[str, str]) -> html.Button:
    mode: Mode = next(mode for mode in MODES if mode == colour["mode"])
    guess, confidence = sample.predicted[0] if sample.predicted else ("no prediction", None)
    caption = [
        html.Span(guess, className="wrong" if sample.correct is False else ""),
        html.Span("" if confidence is None else f"{confidence:.0%}", className="quiet"),
    ]
    return html.Button(
        [
            html.Img(
                src=image_url(project, sample.index, mode, colour["cmap"], colour["scaling"]),
                alt=f"sample {sample.index}",
            ),
            html.Div(caption, className="caption"),
        ],
        id=context.item("thumbnail", sample.index),
        className="thumbnail",
        title=f"{sample.label or 'no label'}, predicted {guess} · {sample.file_name}",
    )


def _large(context: PanelContext) -> dbc.Modal:
    steps = [
        html.Button(
            text, id=context.item("step", by), className="btn btn-sm", title=title, **{"data-key": key}
        )
        for text, by, title, key in (("‹", -1, "Previous sample", "p"), ("›", 1, "Next sample", "n"))
    ]
    steps.append(
        html.Button(
            "Similar",
            id=context.id("similar"),
            className="btn btn-sm",
            title="Select the samples nearest to this one in the analysis",
            **{"data-key": "s"},
        )
    )
    header = dbc.ModalHeader(
        [dbc.ModalTitle(id=context.id("large-title")), html.Div(steps, className="steps")]
    )
    body = dbc.ModalBody(id=context.id("large-body"))
    return dbc.Modal(
        [header, body],
        id=context.id("large"),
        is_open=False,
        size="xl",
        centered=True,
        labelledby=context.id("large-title"),
    )


def _channels(project: Project, sample: Sample, colour: dict[str, str]) -> html.Details | None:
    """Return the heatmap of every channel on one scale, and the share of the relevance that each has."""
    try:
        relevance = np.nan_to_num(project.attributions.relevance(sample.index))
    except FormatError:
        return None
    if len(relevance) < 2:
        return None
    strength = np.abs(relevance).sum(axis=(1, 2), dtype=np.float64)
    shares = strength / (strength.sum() or 1.0)
    names = ("red", "green", "blue") if len(relevance) == 3 else range(len(relevance))
    pictures = [
        html.Figure(
            [
                html.Img(
                    src=image_url(project.name, sample.index, "attribution", colour["cmap"], channel=k),
                    alt=f"heatmap of channel {name}",
                ),
                html.Figcaption(f"{name} · {share:.0%} of |R|"),
            ]
        )
        for k, (name, share) in enumerate(zip(names, shares.tolist(), strict=True))
    ]
    return html.Details(
        [
            html.Summary("Relevance of each channel"),
            html.Div(pictures[:MOST_CHANNELS], className="pictures channels"),
        ],
        className="channel-view",
    )


def _large_body(
    project: str, sample: Sample, colour: dict[str, str], channels: html.Details | None
) -> list[Any]:
    cmap, scaling = colour["cmap"], colour["scaling"]
    pictures = [
        html.Figure(
            [
                html.Img(src=image_url(project, sample.index, mode, cmap, scaling), alt=mode),
                html.Figcaption(mode),
            ]
        )
        for mode in MODES
    ]
    bar = html.Img(src=f"/colourbar.png?{urlencode({'cmap': cmap})}", alt="colour bar, negative to positive")
    guesses = [
        html.Div([html.Span(name), html.Span(f"{p:.1%}", className="number")]) for name, p in sample.predicted
    ]
    facts = {
        "Label": sample.label or "not recorded",
        "Predicted": html.Div(guesses, className="guesses") if guesses else "not recorded",
        "File": sample.file_name,
        "Dataset index": str(sample.index),
    }
    listed = [part for name, value in facts.items() for part in (html.Dt(name), html.Dd(value))]
    return [
        html.Div(pictures, className="pictures"),
        html.Div(
            [html.Span("negative relevance"), bar, html.Span("positive relevance")],
            className="colour-bar wide",
        ),
        channels,
        html.Dl(listed, className="sample-facts"),
    ]


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the samples."""
    return [PanelSpec("samples", Samples, slot="bottom", order=10)]
