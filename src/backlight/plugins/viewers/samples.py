"""The selected samples: a paged grid of inputs, heatmaps or overlays; a click enlarges one (enlarging.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
import numpy as np
from dash import ALL, Input, Output, State, html, no_update

from backlight.core.errors import RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import (
    COLOUR_DEFAULTS,
    MODES,
    PLACE,
    SAMPLINGS,
    Callbacks,
    Panel,
    PanelContext,
    from_typed,
    selection,
)
from backlight.core.pictures.heatmap import COLOUR_MAPS, SCALINGS
from backlight.core.project import Category
from backlight.core.projects.sample import Sample, describe
from backlight.plugins.viewers.arranging import ORDERS, Place, arranged
from backlight.plugins.viewers.controls import button, select, switch
from backlight.plugins.viewers.enlarging import enlarged, large
from backlight.plugins.viewers.searching import FILTERS
from backlight.plugins.viewers.summary import analysis_space

PER_PAGE = 24
SEARCH_LENGTH = 200
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
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


@final
@dataclass(frozen=True)
class Samples(Panel):
    """Grid of the selected samples with label, prediction and confidence; a click opens the large view."""

    title: ClassVar[str] = "Samples"

    def layout(self, context: PanelContext) -> Any:
        """Return the head with picture mode, colour map and pages, the grid, and the large view."""
        modes = switch(context.id("mode"), {mode: mode.capitalize() for mode in MODES}, "overlay")
        view = switch(context.id("view"), {"grid": "Grid", "table": "Table"}, "grid")
        order = dbc.Select(id=context.id("order"), options=ORDERS, value="given", size="sm")
        search = dbc.Input(
            id=context.id("search"),
            type="search",
            placeholder="Search",
            size="sm",
            debounce=0.3,
            maxLength=SEARCH_LENGTH,
        )
        pager = html.Div(
            [
                button("‹", context.id("previous"), "Previous page", key="p"),
                html.Span(id=context.id("pages"), className="quiet"),
                button("›", context.id("next"), "Next page", key="n"),
            ],
            id=context.id("pager"),
            className="pager",
        )
        head = html.Div(
            [
                html.H2("Samples"),
                html.Span(id=context.id("count"), className="quiet grow"),
                html.Label("Search", htmlFor=context.id("search"), className="visually-hidden"),
                html.Div(search, title=FILTERS),
                html.Label("Order", htmlFor=context.id("order"), className="visually-hidden"),
                order,
                view,
                pager,
                modes,
                _pictures(context),
            ],
            className="panel-head",
        )
        return html.Div([head, html.Div(id=context.id("grid"), className="grid"), large(context)])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Draw a page in the browser (samples.js), which is told about its samples only."""
        self._choose_colour(callback, context)
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

    def _show_page(self, callback: Callbacks, context: PanelContext) -> None:
        callback.script(SCRIPT)
        callback.data("page", lambda scope, *asked: _page(context, tuple(scope), *asked))
        callback.clientside(
            "(...args) => backlight.samples.show(...args)",
            Output(context.id("count"), "children"),
            Output(context.id("pages"), "children"),
            Output(context.id("pager"), "hidden"),
            Input(context.store("selection"), "data"),
            *[Input(context.id(key), "value") for key in ("order", "search", "view")],
            *[Input(context.store(store), "data") for store in ("colour", "clustering", "shown")],
            *[Input(context.id(key), "n_clicks") for key in ("previous", "next")],
        )

    def _find_similar(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("selection"), "data"),
            Output(context.id("large"), "is_open", allow_duplicate=True),
            Input(context.id("similar"), "n_clicks"),
            State(context.store("sample"), "data"),
            *[State(context.store(store), "data") for store in PLACE],
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

    def _show_sample(self, callback: Callbacks, context: PanelContext) -> None:
        callback.clientside(
            "(...args) => backlight.samples.step(...args)",
            Output(context.store("sample"), "data"),
            Input(context.item("step", ALL), "n_clicks"),
            State(context.store("sample"), "data"),
        )

        @callback(
            Output(context.id("large"), "is_open"),
            Output(context.id("large-title"), "children"),
            Output(context.id("large-body"), "children"),
            Input(context.store("sample"), "data"),
            State(context.store("colour"), "data"),
            State(context.store("project"), "data"),
            prevent_initial_call=True,
        )
        def enlarge(sample: int | None, colour: dict[str, str], name: str) -> Any:
            if sample is None:
                return no_update, no_update, no_update
            project = context.projects[name]
            found = describe(project, [sample])[0]
            return True, found.label or f"Sample {sample}", enlarged(project, found, colour)


def _page(
    context: PanelContext,
    scope: tuple[str, str, str],
    chosen: dict[str, Any],
    order: str,
    search: str,
    clustering: str | None,
    number: int,
    wide: bool,
) -> dict[str, Any]:
    """Return how many samples there are, and what is known about those of one page.

    number: the page; beyond the last one it begins again. wide: clusters and tags, too, for the table.
    """
    place = Place(context.projects[scope[0]], context.category(*scope), clustering)
    found = arranged(place, from_typed(chosen).astype(np.int64), order, str(search)[:SEARCH_LENGTH])
    first = PER_PAGE * (int(number) % max(1, -(-len(found) // PER_PAGE)))
    indices = found[first : first + PER_PAGE]
    samples = [_facts(sample) for sample in describe(place.project, indices.tolist())]
    if wide:
        names = (c if c is None else place.curation.name(c) for c in place.clusters(indices))
        for sample, cluster, tags in zip(samples, names, place.tags(indices), strict=True):
            sample |= {"cluster": cluster, "tags": tags}
    return {"total": len(found), "samples": samples}


def _facts(sample: Sample) -> dict[str, Any]:
    guess, confidence = sample.predicted[0] if sample.predicted else (None, None)
    return {
        "index": sample.index,
        "label": sample.label,
        "guess": guess,
        "confidence": confidence,
        "correct": sample.correct,
        "file": sample.file_name,
    }


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
        html.Div(select(context, key, word, options=options, value=COLOUR_DEFAULTS[key]))
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


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the samples."""
    return [PanelSpec("samples", Samples, slot="bottom", order=10)]
