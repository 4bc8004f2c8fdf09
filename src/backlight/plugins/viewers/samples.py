"""The selected samples: a paged grid of inputs, heatmaps or overlays, and a large view of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.heatmap import COLOUR_MAPS
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import MODES, Callbacks, Mode, Panel, PanelContext, image_url
from backlight.core.sample import Sample, describe

PER_PAGE = 24
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
        cmap = dbc.Select(id=context.id("cmap"), options=list(COLOUR_MAPS), value="coldnhot", size="sm")
        bar = html.Div(
            [
                html.Span("−"),
                html.Img(id=context.id("bar"), alt="colour bar, negative to positive"),
                html.Span("+"),
            ],
            className="colour-bar",
        )
        pager = html.Div(
            [
                html.Button("‹", id=context.id("previous"), title="Previous page", className="btn btn-sm"),
                html.Span(id=context.id("pages"), className="quiet"),
                html.Button("›", id=context.id("next"), title="Next page", className="btn btn-sm"),
            ],
            id=context.id("pager"),
            className="pager",
        )
        head = html.Div(
            [
                html.H2("Samples"),
                html.Span(id=context.id("count"), className="quiet grow"),
                pager,
                modes,
                cmap,
                bar,
            ],
            className="panel-head",
        )
        grid = html.Div(html.P(EMPTY, className="empty"), id=context.id("grid"), className="grid")
        return html.Div([dcc.Store(id=context.id("page"), data=None), head, grid, _large(context)])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Choose the page in the browser; send only what a page shows."""
        self._choose_colour(callback, context)
        self._choose_page(callback, context)
        self._show_page(callback, context)
        self._show_sample(callback, context)

    def _choose_colour(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            """(mode, cmap, colour) => {
                const { no_update, callback_context } = window.dash_clientside;
                const changed = callback_context.triggered.map(({ prop_id }) => prop_id);
                const stored = changed.includes("store--colour.data");
                if (stored) return [no_update, colour.mode, colour.cmap];
                return [{...colour, mode, cmap}, no_update, no_update];
            }""",
            Output(context.store("colour"), "data"),
            Output(context.id("mode"), "value"),
            Output(context.id("cmap"), "value"),
            Input(context.id("mode"), "value"),
            Input(context.id("cmap"), "value"),
            Input(context.store("colour"), "data"),
        )
        callback.clientside(
            "(colour) => `/colourbar.png?${new URLSearchParams({cmap: colour.cmap})}`",
            Output(context.id("bar"), "src"),
            Input(context.store("colour"), "data"),
        )

    def _choose_page(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            f"""(selection, back, forward, shown) => {{
                const chosen = selection ? backlight.array(selection.indices) : [];
                if (!chosen.length) return [null, "", "", true];
                const turn = {{"{context.id("previous")}": -1, "{context.id("next")}": 1}};
                const step = turn[window.dash_clientside.callback_context.triggered_id] || 0;
                const total = chosen.length, pages = Math.ceil(total / {PER_PAGE});
                const page = step && shown ? (shown.page + step + pages) % pages : 0;
                const indices = [...chosen.slice(page * {PER_PAGE}, (page + 1) * {PER_PAGE})];
                const count = `${{total.toLocaleString("en")}} · ${{selection.label}}`;
                return [{{page, indices, project: selection.scope[0]}}, count,
                        `${{page + 1}} of ${{pages}}`, pages < 2];
            }}""",
            Output(context.id("page"), "data"),
            Output(context.id("count"), "children"),
            Output(context.id("pages"), "children"),
            Output(context.id("pager"), "hidden"),
            Input(context.store("selection"), "data"),
            Input(context.id("previous"), "n_clicks"),
            Input(context.id("next"), "n_clicks"),
            State(context.id("page"), "data"),
        )

    def _show_page(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("grid"), "children"),
            Input(context.id("page"), "data"),
            Input(context.store("colour"), "data"),
        )
        def show(page: dict[str, Any] | None, colour: dict[str, str]) -> Any:
            if not page:
                return html.P(EMPTY, className="empty")
            project = context.projects[page["project"]]
            return [_thumbnail(context, project.name, s, colour) for s in describe(project, page["indices"])]

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
            return True, found.label or f"Sample {sample}", _large_body(project.name, found, colour["cmap"])


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
                src=image_url(project, sample.index, mode, colour["cmap"]), alt=f"sample {sample.index}"
            ),
            html.Div(caption, className="caption"),
        ],
        id=context.item("thumbnail", sample.index),
        className="thumbnail",
        title=f"{sample.label or 'no label'}, predicted {guess} · {sample.file_name}",
    )


def _large(context: PanelContext) -> dbc.Modal:
    steps = [
        html.Button(text, id=context.item("step", by), className="btn btn-sm", title=title)
        for text, by, title in (("‹", -1, "Previous sample"), ("›", 1, "Next sample"))
    ]
    header = dbc.ModalHeader(
        [dbc.ModalTitle(id=context.id("large-title")), html.Div(steps, className="steps")]
    )
    body = dbc.ModalBody(id=context.id("large-body"))
    return dbc.Modal([header, body], id=context.id("large"), is_open=False, size="xl", centered=True)


def _large_body(project: str, sample: Sample, cmap: str) -> list[Any]:
    pictures = [
        html.Figure(
            [html.Img(src=image_url(project, sample.index, mode, cmap), alt=mode), html.Figcaption(mode)]
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
        html.Dl(listed, className="sample-facts"),
    ]


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the samples."""
    return [PanelSpec("samples", Samples, slot="bottom", order=10)]
