"""A panel's callbacks: checked to stay in its own namespace, and contained when they fail."""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from dash import Dash, Output, html, no_update, set_props
from dash.exceptions import PreventUpdate
from flask import Response, jsonify, request

from backlight.core.components import dependencies_in
from backlight.core.errors import BacklightError, RequestError
from backlight.core.panel import STORES, PanelContext

logger = logging.getLogger("backlight.explorer")
_NAME = re.compile(r"[a-z0-9-]+")


class Guard:
    """Collects the callbacks of one panel; nothing is registered before `commit`.

    Implements core.panel.Callbacks. Each callback gets a slot in the panel's card that shows why it failed.
    """

    def __init__(self, context: PanelContext) -> None:
        self._context = context
        self._stores = {context.store(store) for store in STORES}
        self._python: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._browser: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._data: dict[str, Callable[..., Any]] = {}
        self.slots: list[str] = []
        self.scripts: list[str] = []

    def __call__(
        self, *dependencies: Any, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a Python callback."""
        self._check(dependencies, options)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            contained = _contain(function, self._slot(), self._context.name)
            self._python.append((contained, dependencies, options))
            return function

        return register

    def clientside(self, source: str, *dependencies: Any, **options: Any) -> None:
        """Register a callback that runs in the browser; `source` is a JavaScript function expression."""
        self._check(dependencies, options)
        contained = f"(...args) => backlight.guard({json.dumps(self._slot())}, {source}, args)"
        self._browser.append((contained, dependencies, options))

    def script(self, source: str) -> None:
        """Run JavaScript once as the page opens, before any callback."""
        self.scripts.append(source)

    def data(self, name: str, function: Callable[..., Any]) -> None:
        """Serve what `function` returns, as JSON, to the panel's own scripts."""
        if not _NAME.fullmatch(name) or name in self._data:
            raise ValueError(f"data {name!r}: names are of a-z, 0-9 and '-', each given once")
        self._data[name] = function

    def commit(self, app: Dash) -> None:
        """Register everything that was collected."""
        for function, dependencies, options in self._python:
            app.callback(*dependencies, **options)(function)
        for source, dependencies, options in self._browser:
            app.clientside_callback(source, *dependencies, **options)
        for name, function in self._data.items():
            panel = self._context.name
            app.server.add_url_rule(
                f"/panel/{quote(panel)}/{name}.json",
                f"panel-{panel}-{name}",
                _answer(function, panel),
                methods=["GET", "POST"],
            )

    def _slot(self) -> str:
        self.slots.append(f"app--{self._context.name}-problem-{len(self.slots)}")
        return self.slots[-1]

    def _check(self, dependencies: tuple[Any, ...], options: dict[str, Any]) -> None:
        for dependency in dependencies_in([dependencies, options]):
            store = isinstance(dependency.component_id, str) and dependency.component_id in self._stores
            if not store and not self._context.owns(dependency.component_id):
                raise ValueError(
                    f"a callback uses {dependency.component_id!r}; a panel may use ids that start with "
                    f"{self._context.id('')!r} and the shared stores"
                )
            if store and isinstance(dependency, Output):
                # Several panels write one store; none of them may do so before the user did anything.
                dependency.allow_duplicate = True
                options.setdefault("prevent_initial_call", True)


def problem_card(title: str, reason: str) -> html.Div:
    """Return what stands in for a panel, or a part of it, that failed."""
    return html.Div(
        [html.Strong(f"{title} cannot be shown"), html.Div(reason)], className="panel-problem", role="alert"
    )


def sentence(error: BaseException) -> str:
    """Return what to tell the user about an error."""
    return str(error) if isinstance(error, BacklightError) else f"{type(error).__name__}: {error}"


def _contain(function: Callable[..., Any], slot: str, panel: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def contained(*args: Any, **kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except PreventUpdate:
            raise
        except Exception as error:
            logger.warning("panel %s failed", panel, exc_info=not isinstance(error, BacklightError))
            set_props(slot, {"children": problem_card(panel, sentence(error))})
            return no_update
        set_props(slot, {"children": None})
        return result

    return contained


def _answer(function: Callable[..., Any], panel: str) -> Callable[[], Response]:
    """Return a view of what a function makes of the JSON list `args`; what it cannot use gets a sentence.

    `args` comes in the address, or as the body where it is long.
    """

    def view() -> Response:
        try:
            posted = request.method == "POST"
            args = json.loads(request.get_data() if posted else request.args.get("args", ""))
            if not isinstance(args, list):
                raise RequestError("'args' is not a JSON list")
            return jsonify(function(*args))
        except BacklightError as error:
            return Response(str(error), status=400, mimetype="text/plain")
        except Exception as error:
            logger.warning("panel %s cannot answer", panel, exc_info=error)
            return Response(
                "This request does not fit what is open here; reload the page.",
                status=400,
                mimetype="text/plain",
            )

    return view
