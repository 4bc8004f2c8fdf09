"""Handing the present state on: in the address, as a link, as a file, and back again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dash import Dash, Input, Output, State, dcc, no_update

from backlight.app.explorer.exchange import export, read
from backlight.core.errors import BacklightError
from backlight.core.panel import from_address
from backlight.core.project import Project

NAMES = ("project", "analysis", "category", "clustering", "embedding", "colour", "selection", "shown", "view")


def carry(app: Dash, projects: Mapping[str, Project]) -> None:
    """Register the callbacks that keep the address up to date, export, import and share."""
    stores = [f"store--{name}" for name in NAMES]
    app.clientside_callback(
        "(...values) => { backlight.remember(...values); return window.dash_clientside.no_update; }",
        Output("app--toast", "title"),
        *[Input(store, "data") for store in stores],
    )
    app.clientside_callback(
        "(clicks) => backlight.share(clicks)",
        Output("app--toast", "children"),
        Input("app--share", "n_clicks"),
    )

    app.clientside_callback(
        "(clicks) => backlight.help(clicks)",
        Output("app--help", "is_open"),
        Output("app--help-body", "children"),
        Input("app--help-button", "n_clicks"),
    )

    @app.callback(
        Output("app--download", "data"),
        Output("app--toast", "children", allow_duplicate=True),
        Input("app--export", "n_clicks"),
        *[State(store, "data") for store in stores],
        prevent_initial_call=True,
    )
    def save(clicks: int | None, *values: Any) -> Any:
        try:
            document = export(projects, dict(zip(NAMES, values, strict=True)))
        except BacklightError as error:
            return no_update, str(error)
        name = (
            f"{_plain(document['projectName'])}-{_plain(document['selectedCategoryHumanReadableName'])}.json"
        )
        return dcc.send_string(json.dumps(document, ensure_ascii=False), name), f"Exported {name}"

    @app.callback(
        Output("app--restore", "data"),
        Output("store--view", "data"),
        Output("app--toast", "children", allow_duplicate=True),
        Input("app--import", "contents"),
        State("app--import", "filename"),
        prevent_initial_call=True,
    )
    def load(contents: str | None, name: str | None) -> Any:
        if not contents:
            return (no_update,) * 3
        try:
            state = read(projects, from_address(contents))
            return state, state["view"], f"Opened {name}"
        except BacklightError as error:
            return no_update, no_update, f"{name} cannot be used: {error}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "selection"
