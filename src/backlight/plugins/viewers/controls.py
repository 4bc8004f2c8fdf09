"""What several panels are built of: buttons, switches, a cluster's colour, and whether a person clicked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash_bootstrap_components as dbc
from dash import ctx, html

from backlight.core.panel import PanelContext
from backlight.plugins.viewers.palette import cluster_colour


def button(text: str, component_id: Any, title: str, *, key: str = "", **more: Any) -> html.Button:
    """Return a small button.

    title: what it does, told under the pointer. key: that presses it, too. more: other properties.
    """
    pressed = {"data-key": key} if key else {}
    return html.Button(text, id=component_id, className="btn btn-sm", title=title, **pressed, **more)


def switch(component_id: str, words: Mapping[str, str], value: str) -> dbc.RadioItems:
    """Return buttons of which one is pressed. words: value -> what stands on its button."""
    return dbc.RadioItems(
        id=component_id,
        options=[{"label": word, "value": key} for key, word in words.items()],
        value=value,
        className="switch",
        inputClassName="btn-check",
        labelClassName="btn btn-sm",
        labelCheckedClassName="active",
    )


def select(context: PanelContext, part: str, word: str, **more: Any) -> list[Any]:
    """Return a select with its label. part: its id. more: other properties, such as options and value."""
    return [html.Label(word, htmlFor=context.id(part)), dbc.Select(id=context.id(part), size="sm", **more)]


def swatch(cluster: int) -> html.Span:
    """Return a patch of a cluster's colour."""
    return html.Span(className="swatch", style={"backgroundColor": cluster_colour(cluster)})


def clicked() -> bool:
    """Say whether a person's click runs this callback; a button that is drawn anew runs it, too."""
    return bool(ctx.triggered_id and ctx.triggered[0]["value"])
