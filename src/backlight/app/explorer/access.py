"""Who may talk to the explorer: this machine, or whoever holds the token."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, redirect, request

COOKIE = "backlight-token"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; frame-ancestors 'none'"
)


def is_loopback(host: str) -> bool:
    """Return whether `host` names this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def restrict(server: Flask, token: str | None) -> None:
    """Refuse requests from elsewhere.

    token: None on a loopback address, where the Host header must name this machine (a name that an attacker
    points here does not); otherwise what a visitor must bring once as `?token=`, and then keeps in a cookie.
    """

    @server.before_request
    def check() -> Response | None:
        host = request.host
        if token is None and not is_loopback(_host_name(host)):
            return _refused(f"This explorer answers on this machine only, not as {host!r}.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refused("Requests from other sites are refused.")
        return None if token is None else _check_token(token)

    @server.after_request
    def harden(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response


def _check_token(token: str) -> Response | None:
    if _same(request.args.get("token"), token):
        rest = [(key, value) for key, value in request.args.items(multi=True) if key != "token"]
        response = redirect(request.path + ("?" + urlencode(rest) if rest else ""))
        response.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return response
    if _same(request.cookies.get(COOKIE), token):
        return None
    return _refused("Open the link that was printed when the explorer started: it carries the token.")


def _same(given: str | None, token: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


def _host_name(host: str) -> str:
    return urlsplit(f"//{host}").hostname or ""


def _refused(reason: str) -> Response:
    return Response(reason, status=403, mimetype="text/plain")
