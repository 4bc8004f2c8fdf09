"""Requests that make no sense get a sentence and a 400, whatever they hold; none becomes a 500."""

from __future__ import annotations

from typing import Any

from dash import Dash
from dash.exceptions import DashException
from flask import Response, request
from werkzeug.exceptions import HTTPException

from backlight.app.explorer.guard import logger

UPDATE = "/_dash-update-component"
LARGEST = 64 << 20
"""Largest request body, in bytes: an import, or a selection of a few million samples."""


def sanitise(app: Dash) -> None:
    """Refuse oversized and malformed requests before, and failures that they cause after, Dash sees them."""
    server = app.server
    server.config["MAX_CONTENT_LENGTH"] = LARGEST

    @server.before_request
    def check() -> Response | None:
        if request.path != UPDATE or request.method != "POST":
            return None
        problem = _problem(request.get_json(silent=True), app.callback_map)
        return None if problem is None else _refused(problem)

    @server.errorhandler(Exception)
    def refuse(error: Exception) -> Response | HTTPException:
        if isinstance(error, HTTPException):
            return error
        if request.path == UPDATE or isinstance(error, DashException):
            logger.warning("a request does not fit", exc_info=error)
            return _refused("This request does not fit what is open here; reload the page.")
        raise error


def _problem(body: Any, callbacks: dict[str, Any]) -> str | None:
    if not isinstance(body, dict):
        return "The body is not a JSON object."
    if not isinstance(body.get("output"), str) or body["output"] not in callbacks:
        return "There is no such output; reload the page."
    for key in ("inputs", "state"):
        values = body.get(key, [])
        if not isinstance(values, list) or not all(_dependency(value) for value in values):
            return f"{key!r} is not a list of properties of components."
    changed = body.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(item, str) for item in changed):
        return "'changedPropIds' is not a list of names."
    return None


def _dependency(value: Any) -> bool:
    if isinstance(value, list):
        return all(_dependency(item) for item in value)
    return isinstance(value, dict) and "id" in value and isinstance(value.get("property"), str)


def _refused(reason: str) -> Response:
    return Response(reason, status=400, mimetype="text/plain")
