"""The map: every sample of a class as a point in its cluster's colour; box, lasso, preview on hover.

Coordinates, dataset indices and cluster ids travel as typed arrays, each only when it changed. The browser
asks for them, draws, selects and previews (embedding.js).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
from dash import Input, Output, State, dcc, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import SCOPE, Callbacks, Panel, PanelContext, typed_array, typed_indices
from backlight.core.project import Embedding
from backlight.plugins.viewers.colouring import PLAIN, choices, group

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
"""JavaScript of the functions that maps share: `backlight.embedding`."""


@final
@dataclass(frozen=True)
class EmbeddingMap(Panel):
    """Scatter of an embedding with box and lasso selection and a preview of the sample under the pointer."""

    title: ClassVar[str] = "Map"

    def layout(self, context: PanelContext) -> Any:
        """Return the map, its tooltip and the stores that hold what the map is drawn from."""
        by = dbc.Select(
            id=context.id("by"), options=list(PLAIN), value="cluster", size="sm", className="colour-by"
        )
        return html.Div(
            [
                *map_stores(context, "hovered"),
                map_place(context),
                dcc.Tooltip(id=context.id("tooltip"), className="preview", direction="right"),
                html.Div(
                    [
                        html.Label("Colour by", htmlFor=context.id("by")),
                        by,
                        html.Span(id=context.id("legend")),
                    ],
                    className="hint",
                    title="Drag to select samples, click for one, double-click to clear; the wheel zooms",
                ),
            ],
            className="map",
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Serve coordinates and clusters; ask, draw, select and preview in the browser."""
        place = [Input(context.store(store), "data") for store in SCOPE]
        callback.script(SCRIPT)
        callback.data("points", lambda scope, chosen: read_points(context, tuple(scope), chosen))
        callback.data(
            "groups", lambda scope, clustering, by: read_groups(context, tuple(scope), clustering, by)
        )

        @callback(Output(context.id("by"), "options"), *place, Input(context.store("shown"), "data"))
        def options(project: str, analysis: str, category: str, shown: str | None) -> Any:
            if not category:
                return no_update
            return choices(context.projects[project], context.category(project, analysis, category))

        def browser(name: str, *dependencies: Any) -> None:
            callback.clientside(f"(...args) => backlight.embedding.{name}(...args)", *dependencies)

        browser(
            "look",
            Output(context.id("map"), "aria-label"),
            Output(context.id("legend"), "children"),
            *place,
            *[Input(context.store(store), "data") for store in ("embedding", "clustering")],
            Input(context.id("by"), "value"),
            *[Input(context.store(store), "data") for store in ("selection", "placed")],
        )
        callback.clientside(
            "(view) => backlight.embedding.adopt(view)",
            Input(context.store("view"), "data"),
            prevent_initial_call=True,
        )
        browser(
            "colourBy",
            Output(context.store("colour"), "data"),
            Output(context.id("by"), "value"),
            Input(context.id("by"), "value"),
            Input(context.store("colour"), "data"),
        )
        browser(
            "preview",
            *[Output(context.id("tooltip"), prop) for prop in ("show", "bbox", "direction", "children")],
            Input(context.id("hovered"), "data"),
            State(context.store("project"), "data"),
            State(context.store("colour"), "data"),
        )


def map_stores(context: PanelContext, *parts: str) -> list[dcc.Store]:
    """Return stores for what a map is drawn from, and for what a person does on it."""
    return [dcc.Store(id=context.id(part)) for part in parts or ("points", "groups", "drawn", "hovered")]


def map_place(context: PanelContext) -> html.Div:
    """Return where the browser puts a map (assets/map.js)."""
    return html.Div(id=context.id("map"), className="scatter", role="application", tabIndex=0)


def read_points(
    context: PanelContext, scope: tuple[str, str, str], chosen: dict[str, Any]
) -> dict[str, Any] | None:
    """Return two columns with their dataset indices and axis titles; None for a map there is not."""
    category = context.category(*scope)
    if chosen["name"] not in category.embeddings:
        return None  # the toolbar is about to replace it by one this class has
    embedding = category.embedding(chosen["name"])
    shown = [int(chosen[axis]) for axis in ("x", "y")]
    columns = embedding.columns(*embedding.component[shown])
    return {
        "scope": scope,
        "embedding": {"name": embedding.name, "x": shown[0], "y": shown[1]},
        "axes": [axis_title(embedding, component) for component in shown],
        "x": typed_array(columns[:, 0]),
        "y": typed_array(columns[:, 1]),
        "index": typed_indices(category.index),
    }


def read_groups(
    context: PanelContext, scope: tuple[str, str, str], clustering: str | None, by: str | None = "cluster"
) -> dict[str, Any] | None:
    """Return the group of every sample, and the groups, noise or unknown first: it is drawn beneath.

    None for a clustering there is not.
    """
    category = context.category(*scope)
    if clustering is not None and clustering not in category.clusterings:
        return None
    ids, entries = group(context.projects[scope[0]], category, clustering, by or "cluster")
    return {"scope": scope, "ids": typed_array(ids), "clusters": entries, "by": by or "cluster"}


def axis_title(embedding: Embedding, component: int) -> str:
    """Return what an axis shows: the component, and its eigenvalue where there is one."""
    if embedding.eigenvalues is None:
        return f"{embedding.name} {component + 1}"
    value = embedding.eigenvalues[embedding.component[component]]
    return f"component {component + 1}  (λ = {value:.3g})"


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the map."""
    return [PanelSpec("embedding", EmbeddingMap, slot="main", order=20)]
