"""Put the application together: panels from the registry, the page, the routes, who may use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dash import ALL, Dash, Input, Output, State

from backlight.app.explorer.access import restrict
from backlight.app.explorer.catalogue import catalogue
from backlight.app.explorer.choosing import combine
from backlight.app.explorer.compression import compress
from backlight.app.explorer.guard import Guard, logger, problem_card, sentence
from backlight.app.explorer.images import image_routes
from backlight.app.explorer.layout import CONTROLS, TABBED, Card, document, page
from backlight.app.explorer.requests import sanitise
from backlight.app.explorer.session import carry
from backlight.core.components import components_in
from backlight.core.errors import PluginError, RequestError
from backlight.core.hookspecs import PanelSpec
from backlight.core.panel import PanelContext, selected
from backlight.core.project import Project
from backlight.core.projects.live import Live
from backlight.core.registry import registry

ASSETS = Path(__file__).parent / "assets"
RESERVED = ("app", "store")
"""Prefixes of the application's own component ids; no panel can have these names."""

CHOSEN = ("project", "analysis", "category", "clustering", "embedding")

OnSelection = Callable[[list[int], tuple[str | None, ...]], None]
"""Called with dataset indices, and the analysis, category and clustering they were selected in."""


def make_app(
    projects: Sequence[Project],
    panels: Iterable[PanelSpec] | None = None,
    *,
    token: str | None = None,
    on_selection: OnSelection | None = None,
    live: Mapping[str, Live] | None = None,
) -> Dash:
    """Return the explorer of `projects`.

    panels: descriptors of the panels to show; every installed one when not given.
    token: what visitors must bring; None for a loopback address. on_selection: told about each new selection.
    live: models that explain single pictures, by the name of their project.
    """
    opened = _by_name(projects)
    app = Dash(
        "backlight",
        title="Backlight",
        update_title=None,
        assets_folder=str(ASSETS),
        serve_locally=True,
        add_log_handler=False,
    )
    restrict(app.server, token)
    sanitise(app)
    compress(app.server, scripts=token is not None)
    app.server.register_blueprint(image_routes(opened))
    found = _installed() if panels is None else list(panels)
    cards = [
        item if isinstance(item, Card) else _card(app, item, opened, live or {})
        for item in sorted(found, key=_place)
    ]
    entries, problems = catalogue(projects)
    app.index_string = document(app.index_string, cards, entries)
    app.layout = page(cards, problems)
    _choose(app)
    if any(card.slot == TABBED for card in cards):
        combine(app, opened)
    _show_one(app)
    carry(app, opened)
    if on_selection is not None:
        _report(app, on_selection)
    return app


def _by_name(projects: Sequence[Project]) -> dict[str, Project]:
    opened: dict[str, Project] = {}
    for project in projects:
        if project.name in opened:
            raise RequestError(
                f"two projects are called {project.name!r}: {opened[project.name].path}, {project.path}"
            )
        if not project.analyses:
            raise RequestError(
                f"{project.path} has no analyses yet; run `backlight analyze {project.root}` first"
            )
        opened[project.name] = project
    if not opened:
        raise RequestError("there is no project to explore")
    return opened


def _installed() -> list[PanelSpec | Card]:
    """Return every installed panel, those that cannot be imported as a card that says why."""
    found: list[PanelSpec | Card] = []
    for entry in registry().entries("panel"):
        if registry().state(entry) == "blocked":
            continue
        try:
            found.append(registry().spec("panel", entry.key))  # type: ignore[arg-type]
        except PluginError as error:
            found.append(Card(entry.name, entry.name, "side", problem_card(entry.name, str(error))))
    return found


def _place(item: PanelSpec | Card) -> tuple[str, int, str]:
    return (item.slot, item.order if isinstance(item, PanelSpec) else 1000, item.name)


def _card(app: Dash, spec: PanelSpec, projects: dict[str, Project], live: Mapping[str, Live]) -> Card:
    """Build one panel; any failure leaves nothing behind but the reason."""
    context = PanelContext(spec.name, projects, live)
    guard = Guard(context)
    try:
        if spec.name in RESERVED:
            raise ValueError(f"a panel cannot be called {spec.name!r}")
        panel = spec.factory()
        body = panel.layout(context)
        _check_ids(body, context)
        panel.callbacks(guard, context)
    except Exception as error:
        logger.warning("panel %s cannot be built", spec.name, exc_info=True)
        return Card(spec.name, spec.name, spec.slot, problem_card(spec.name, sentence(error)))
    guard.commit(app)
    return Card(spec.name, panel.title, spec.slot, body, guard.slots, guard.scripts)


def _check_ids(body: Any, context: PanelContext) -> None:
    """Raise when a panel's layout takes an id outside its namespace, which could shadow another panel's."""
    for component in components_in(body):
        used = getattr(component, "id", None)
        if used is not None and not context.owns(used):
            raise ValueError(f"component id {used!r} does not start with {context.id('')!r}")


def _choose(app: Dash) -> None:
    """Tie the toolbar to the stores; the choice is made in the browser (assets/toolbar.js)."""
    stores = [f"store--{name}" for name in CHOSEN]
    brought = ["store--selection", "store--colour"]
    app.clientside_callback(
        "(...args) => backlight.choose(...args)",
        *[Output(f"app--{name}", "options") for name in CONTROLS],
        *[Output(f"app--{name}", "value") for name in CONTROLS],
        *[Output(f"app--{name}-control", "hidden") for name in CONTROLS],
        Output("app--facts", "children"),
        *[Output(store, "data") for store in [*stores, *brought]],
        *[Input(f"app--{name}", "value") for name in CONTROLS],
        *[Input(store, "data") for store in stores],
        Input("app--restore", "data"),
        State("store--selection", "data"),
    )


def _show_one(app: Dash) -> None:
    """Bring one panel of the tabbed slot to the front."""
    app.clientside_callback(
        "(...args) => backlight.front(...args)",
        Output("store--shown", "data"),
        Output({"type": "app--tab", "index": ALL}, "aria-selected"),
        Input({"type": "app--tab", "index": ALL}, "n_clicks"),
        Input("store--shown", "data"),
        State({"type": "app--tab", "index": ALL}, "id"),
    )


def _report(app: Dash, on_selection: OnSelection) -> None:
    @app.callback(
        Input("store--selection", "data"),
        *[State(f"store--{name}", "data") for name in ("analysis", "category", "clustering")],
        prevent_initial_call=True,
    )
    def report(selection: dict[str, Any] | None, *place: str | None) -> None:
        on_selection(selected(selection).tolist(), place)
