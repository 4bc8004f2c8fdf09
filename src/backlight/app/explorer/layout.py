"""The page: toolbar, shared stores, and one card for each panel in the slot it asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dash_bootstrap_components as dbc
from dash import dcc, html

from backlight.app.explorer.choosing import bar
from backlight.app.explorer.exchange import LIMIT
from backlight.core.panel import COLOUR_CHOICES, COLOUR_DEFAULTS, STORES

CONTROLS = {
    "project": "Project",
    "analysis": "Analysis",
    "category": "Class",
    "clustering": "Clustering",
    "embedding": "Map",
    "x": "x",
    "y": "y",
}
TABBED = "bottom"
SLOTS = ("main", "side", "bottom")


@dataclass(frozen=True)
class Card:
    """A panel as it stands on the page: its component, or what is shown in its place."""

    name: str
    title: str
    slot: str
    body: Any
    problems: Sequence[str] = field(default=())
    """Ids of the places where its callbacks say why they failed."""

    scripts: Sequence[str] = field(default=())
    """JavaScript that runs once as the page opens."""


HARMLESS = {ord(character): f"\\u{ord(character):04x}" for character in "<%"}
"""What could end a script or name one of Dash's placeholders, as JSON may write it."""


def document(template: str, cards: Sequence[Card], entries: list[dict[str, Any]]) -> str:
    """Return Dash's page with what is open as data and the panels' scripts: they begin before Dash does."""
    opened = {"catalogue": entries, "defaults": COLOUR_DEFAULTS, "allowed": COLOUR_CHOICES}
    text = json.dumps(opened).translate(HARMLESS)
    data = f'<script type="application/json" id="app--opened">{text}</script>'
    scripts = dict.fromkeys(script for card in cards for script in card.scripts)
    begin = "".join(f"<script>{script}</script>" for script in [*scripts, "backlight.begin();"])
    return template.replace("<html>", '<html lang="en">').replace(
        "{%scripts%}", f"{data}{{%scripts%}}{begin}"
    )


def page(cards: Sequence[Card], problems: Sequence[str]) -> html.Div:
    """Return the whole layout."""
    front = next((card.name for card in cards if card.slot == TABBED), None)
    start = {"colour": COLOUR_DEFAULTS, "shown": front}
    stores = [dcc.Store(id=f"store--{store}", data=start.get(store)) for store in STORES]
    return html.Div(
        [
            dcc.Store(id="app--restore"),
            dcc.Download(id="app--download"),
            html.Div(id="app--toast", className="toast-line", role="status"),
            html.Div(id="app--busy", className="busy-line", role="status"),
            *stores,
            html.Header(toolbar()),
            help_window(),
            *[dbc.Alert(text, color="warning", dismissable=True, className="notice") for text in problems],
            html.Main(
                [_slot(slot, [c for c in cards if c.slot == slot]) for slot in SLOTS], className="page"
            ),
        ],
        className="backlight",
    )


def toolbar() -> html.Div:
    """Return the controls that choose what all panels look at; the browser fills them."""
    controls = [
        html.Div(
            [html.Label(text, htmlFor=f"app--{name}"), dbc.Select(id=f"app--{name}", size="sm")],
            className=f"control control-{name}",
            id=f"app--{name}-control",
        )
        for name, text in CONTROLS.items()
    ]
    brand = html.Div([html.Span(className="brand-mark"), html.H1("Backlight")], className="brand")
    facts = html.Div(id="app--facts", className="facts")
    return html.Div(
        [brand, *controls, facts, actions()],
        className="toolbar",
        role="toolbar",
        **{"aria-label": "What to look at"},
    )


def actions() -> html.Div:
    """Return what hands the present state on."""
    upload = dcc.Upload(
        html.Button(
            "Import", id="app--import-button", className="btn btn-sm", title="Open an exported selection"
        ),
        id="app--import",
        accept=".json,application/json",
        max_size=LIMIT,
        className="upload",
    )
    buttons = [
        html.Button(text, id=f"app--{name}", className="btn btn-sm", title=title)
        for name, text, title in (
            ("share", "Share", "Copy a link to what is shown now"),
            ("export", "Export", "Save class, map and selection as JSON, which ViRelAy reads too"),
        )
    ]
    keys = html.Button(
        "?", id="app--help-button", className="btn btn-sm", title="Show the keys", **{"data-key": "?"}
    )
    return html.Div([*buttons, upload, keys], className="actions")


def help_window() -> dbc.Modal:
    """Return the list of keys, filled by the browser."""
    header = dbc.ModalHeader(dbc.ModalTitle("Keys", id="app--help-title"))
    return dbc.Modal(
        [header, dbc.ModalBody(id="app--help-body", className="keys")],
        id="app--help",
        is_open=False,
        labelledby="app--help-title",
    )


def _tabs(cards: Sequence[Card]) -> html.Div:
    """Return the strip that brings one of a slot's panels to the front."""
    buttons = [
        html.Button(
            card.title,
            id={"type": "app--tab", "index": card.name},
            className="lower-tab",
            role="tab",
            **{"aria-controls": f"app--{card.name}-panel"},
        )
        for card in cards
    ]
    return html.Div(buttons, className="lower-tabs", role="tablist")


def _slot(slot: str, cards: Sequence[Card]) -> html.Div:
    if slot == TABBED and cards:
        strip = html.Div([_tabs(cards), bar()], className="lower-strip")
        # Hidden from the start, so that nothing moves when the browser brings one to the front.
        sections = [_section(card, hidden=card is not cards[0]) for card in cards]
        return html.Div([strip, *sections], className=f"slot slot-{slot} tabbed")
    return html.Div([_section(card) for card in cards], className=f"slot slot-{slot}")


def _section(card: Card, hidden: bool = False) -> html.Section:
    places = [html.Div(id=place, className="panel-place") for place in card.problems]
    return html.Section(
        [*places, html.Div(card.body, className="panel-body")],
        id=f"app--{card.name}-panel",
        className=f"panel panel-{card.name}",
        hidden=hidden,
        **{"aria-label": card.title},
    )
