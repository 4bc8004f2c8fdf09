"""What every panel has to be: a serialisable layout, and callbacks that bear empty data and no other ids."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dash import Dash, dcc, html
from dash._callback import GLOBAL_CALLBACK_LIST, GLOBAL_CALLBACK_MAP
from dash.dependencies import DashDependency
from plotly.io.json import to_json_plotly

from backlight.core.components import components_in, dependencies_in
from backlight.core.panel import STORES, PanelContext
from backlight.core.project import open_project
from backlight.testing.bare_run import ANALYSIS, CATEGORY, NAME, write_bare_run
from backlight.testing.require import failing_as, require
from backlight.testing.subject import Subject

PANEL = "under-test"
NOTHING: dict[str, Any] = dict.fromkeys(STORES)
BARE: dict[str, Any] = {**NOTHING, "project": NAME, "analysis": ANALYSIS, "category": CATEGORY}
CHOICES = {
    "nothing is chosen": NOTHING,
    "a class has no results": BARE,
    "a class has no samples": {**BARE, "category": "00000001"},
}
"""Values of the shared stores that are hard on a panel, by what they mean."""


class _Collector:
    """Implements core.panel.Callbacks: keeps what a panel registers, then hands it to an app."""

    def __init__(self) -> None:
        self.python: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.browser: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __call__(
        self, *dependencies: Any, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that keeps a Python callback."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.python.append((function, dependencies, options))
            return function

        return register

    def clientside(self, source: str, *dependencies: Any, **options: Any) -> None:
        """Keep a callback that runs in the browser."""
        self.browser.append((source, dependencies, options))

    def commit(self, app: Dash) -> None:
        """Register the Python callbacks with an app."""
        for function, dependencies, options in self.python:
            app.callback(*dependencies, **options)(function)

    def script(self, source: str) -> None:
        """Keep nothing: there is no browser here."""

    def data(self, name: str, function: Callable[..., Any]) -> None:
        """Keep nothing: what is served is asked for by the panel's script."""

    @property
    def dependencies(self) -> list[DashDependency]:
        """All inputs, outputs and states."""
        registered = (*self.python, *self.browser)
        return list(dependencies_in([(found, options) for _, found, options in registered]))


def check_layout(subject: Subject) -> None:
    """It has a title, and a layout that can be built without data and sent to the browser."""
    panel = subject.build()
    title = getattr(panel, "title", None)
    require(isinstance(title, str) and bool(title), f"{subject} has no title; set `title: ClassVar[str]`")
    with failing_as(f"{subject}: its layout cannot be built without projects"):
        body = panel.layout(PanelContext(PANEL, {}))
    with failing_as(
        f"{subject}: its layout cannot be sent to the browser; use Dash components and plain values"
    ):
        json.loads(to_json_plotly(html.Div(body)))


def check_ids(subject: Subject) -> None:
    """It takes ids of its own namespace, and callbacks on these and the shared stores, only."""
    panel, context = subject.build(), PanelContext(PANEL, {})
    for component in components_in(panel.layout(context)):
        used = getattr(component, "id", None)
        require(
            used is None or context.owns(used),
            f"{subject}: its layout takes the id {used!r}; make ids by context.id(...) or context.item(...)",
        )
    stores = {context.store(store) for store in STORES}
    for dependency in _collected(subject, context).dependencies:
        used = dependency.component_id
        require(
            (isinstance(used, str) and used in stores) or context.owns(used),
            f"{subject}: a callback uses {used!r}; a panel may use its own ids and context.store(...)",
        )


def check_empty_data(subject: Subject) -> None:
    """Its callbacks run when nothing is chosen, and on a class without any result or sample."""
    with _bare_context() as context:
        app = _app(subject, context)
        for text, state in CHOICES.items():
            for key in app.callback_map:
                with failing_as(f"{subject}: a callback fails when {text}; return something empty instead"):
                    _call(app, key, context, state)


def check_globals(subject: Subject) -> None:
    """It registers nothing with dash at large."""
    factory = subject.spec.factory
    before = len(GLOBAL_CALLBACK_LIST)
    _collected(subject, PanelContext(PANEL, {}))
    functions = [registered.get("callback") for registered in GLOBAL_CALLBACK_MAP.values()]
    homes = {getattr(getattr(f, "__wrapped__", f), "__module__", None) for f in functions}
    require(
        len(GLOBAL_CALLBACK_LIST) == before and factory.__module__ not in homes,
        f"{subject} registers a callback by dash.callback or dash.clientside_callback, for every app there "
        "is; use the `callback` that `callbacks` is given",
    )


def _collected(subject: Subject, context: PanelContext) -> _Collector:
    collector = _Collector()
    with failing_as(f"{subject}: its callbacks cannot be registered"):
        subject.build().callbacks(collector, context)
    return collector


def _app(subject: Subject, context: PanelContext) -> Dash:
    """Return an app of this panel alone."""
    app = Dash(__name__, serve_locally=True, suppress_callback_exceptions=True, add_log_handler=False)
    body = subject.build().layout(context)
    app.layout = html.Div([body, *[dcc.Store(id=context.store(store)) for store in STORES]])
    collector = _collected(subject, context)
    for dependency in collector.dependencies:
        if getattr(dependency, "allow_duplicate", None) is False:
            dependency.allow_duplicate = True
    for _, _, options in collector.python:
        options.setdefault("prevent_initial_call", True)
    collector.commit(app)
    app.server.testing = True  # exceptions come through
    return app


def _call(app: Dash, key: str, context: PanelContext, state: dict[str, Any]) -> None:
    """Call one callback as the browser does when the page loads."""
    stores = {context.store(store): value for store, value in state.items()}  # type: ignore[arg-type]
    placed = [c for c in components_in(app.layout) if getattr(c, "id", None) is not None]

    def value(name: str, prop: str) -> Any:
        if name.startswith("{"):  # one of many alike: those that the layout has
            alike = [c for c in placed if isinstance(c.id, dict) and c.id["type"] == json.loads(name)["type"]]
            return [{"id": c.id, "property": prop, "value": getattr(c, prop, None)} for c in alike]
        own = next((getattr(c, prop, None) for c in placed if c.id == name), None)
        return {"id": name, "property": prop, "value": stores.get(name, own)}

    registered = app.callback_map[key]
    outputs = registered["output"]
    many = isinstance(outputs, list | tuple)
    named = [value(o.component_id_str(), o.component_property) for o in (outputs if many else [outputs])]
    body = {
        "output": key,
        "outputs": named if many else named[0],
        "inputs": [value(i["id"], i["property"]) for i in registered["inputs"]],
        "state": [value(s["id"], s["property"]) for s in registered["state"]],
        "changedPropIds": [],
    }
    if '["MATCH"]' in json.dumps(body["inputs"]) + key:
        return  # runs for components that callbacks add, of which there is none yet
    text, client = to_json_plotly(body), app.server.test_client()
    answer = client.post("/_dash-update-component", data=text, content_type="application/json")
    require(answer.status_code in (200, 204), f"a callback answered with status {answer.status_code}")


@contextmanager
def _bare_context() -> Iterator[PanelContext]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_project(write_bare_run(Path(folder))) as project,
    ):
        yield PanelContext(PANEL, {project.name: project})


CHECKS: dict[str, Callable[[Subject], Any]] = {
    "layout": check_layout,
    "ids": check_ids,
    "empty-data": check_empty_data,
    "globals": check_globals,
}
