"""Selections combine, invert and come back: the buttons beside the tabs, and the route to a whole class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_bootstrap_components as dbc
from dash import Dash, Input, Output, State, html
from flask import Response, jsonify, request

from backlight.core.errors import BacklightError, RequestError, unknown
from backlight.core.panel import SCOPE, typed_indices
from backlight.core.project import Project

MODES = (
    ("new", "New", "The next selection replaces this one"),
    ("add", "+", "The next selection is added"),
    ("subtract", "−", "The next selection is taken out"),
    ("intersect", "∩", "What both selections hold stays"),
)
BUTTONS = (
    ("select-all", "All", "Select the whole class", "a"),
    ("select-invert", "Invert", "Select what is not selected", "i"),
    ("select-none", "None", "Select nothing", "c"),
    ("undo", "↶", "Undo the last selection", "z"),
    ("redo", "↷", "Redo the selection that was undone", "y"),
)


def bar() -> html.Div:
    """Return the buttons."""
    mode = dbc.RadioItems(
        id="app--combine",
        options=[{"label": text, "value": value, "title": title} for value, text, title in MODES],
        value="new",
        className="switch small",
        inputClassName="btn-check",
        labelClassName="btn btn-sm",
        labelCheckedClassName="active",
    )
    buttons = [
        html.Button(text, id=f"app--{name}", className="btn btn-sm", title=title, **{"data-key": key})
        for name, text, title, key in BUTTONS
    ]
    return html.Div([mode, *buttons], className="choosing", role="group", **{"aria-label": "Selection"})


def combine(app: Dash, projects: Mapping[str, Project]) -> None:
    """Register the callback that combines selections, and `/members.json`."""
    app.clientside_callback(
        "(...args) => backlight.combine(...args)",
        Output("store--selection", "data", allow_duplicate=True),
        Input("store--selection", "data"),
        *[Input(f"app--{name}", "n_clicks") for name, *_ in BUTTONS],
        State("app--combine", "value"),
        *[State(f"store--{name}", "data") for name in SCOPE],
        prevent_initial_call=True,
    )

    @app.server.get("/members.json")
    def members() -> Response | tuple[Response, int]:
        asked: dict[str, Any] = {k: request.args.get(k, "") for k in SCOPE}
        try:
            if asked["project"] not in projects:
                raise RequestError(unknown("project", asked["project"], projects))
            found = projects[asked["project"]].analysis(asked["analysis"]).category(asked["category"])
            return jsonify(typed_indices(found.index))
        except BacklightError as error:
            return Response(str(error), mimetype="text/plain"), 404
