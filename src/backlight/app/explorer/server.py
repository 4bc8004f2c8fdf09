"""The HTTP server of the explorer: bound before anything is printed, quiet, stoppable."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import webbrowser
from typing import Any

from flask import Flask, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator

from backlight.app.explorer.access import is_loopback
from backlight.core.errors import RequestError

PATIENCE = 10.0
"""Seconds that closing waits for answers under way."""


class _QuietHandler(WSGIRequestHandler):
    """Keeps connections open and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing about a request."""


def new_token(host: str) -> str | None:
    """Return the token that visitors of `host` need, or None on a loopback address."""
    return None if is_loopback(host) else secrets.token_urlsafe(24)


class _Working:
    """A WSGI application that knows how many of its answers are under way, and refuses more when it closes.

    The threads that answer are daemons, which nothing waits for; while one of them reads an HDF5 file, that
    file must not be closed nor the interpreter end.
    """

    def __init__(self, application: Flask) -> None:
        self._application, self._open, self._answers = application, True, 0
        self._changed = threading.Condition()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        with self._changed:
            if not self._open:
                return Response("The explorer is closing.", 503)(environ, start_response)
            self._answers += 1
        try:
            return ClosingIterator(self._application(environ, start_response), self._done)
        except BaseException:
            self._done()
            raise

    def close(self, patience: float = PATIENCE) -> None:
        """Refuse new requests, and wait for the answers under way."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: not self._answers, patience)

    def _done(self) -> None:
        with self._changed:
            self._answers -= 1
            self._changed.notify_all()


class Server:
    """Serves a Flask application on one address until `close`."""

    def __init__(self, application: Flask, host: str, port: int, token: str | None = None) -> None:
        listener = _bind(host, port)
        self._working = _Working(application)
        with listener:
            self._server: BaseWSGIServer = make_server(
                host,
                listener.getsockname()[1],
                self._working,  # type: ignore[arg-type]
                threaded=True,
                request_handler=_QuietHandler,
                fd=listener.fileno(),
            )
        # A browser's idle connection must not keep the process alive.
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._thread: threading.Thread | None = None
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.port}/" + (f"?token={token}" if token else "")

    def run(self) -> None:
        """Serve in this thread until interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self.close()

    def start(self) -> None:
        """Serve in a background thread."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="backlight-explorer", daemon=True
        )
        self._thread.start()

    def open_browser(self) -> None:
        """Show the explorer in the user's browser, if there is one."""
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(self.url)

    def close(self) -> None:
        """Stop serving when the answers under way are given; can be called twice."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._working.close()
        self._server.server_close()


def check_port(host: str, port: int) -> None:
    """Raise RequestError if nothing can listen there, for those who have work to do before they serve."""
    _bind(host, port).close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise RequestError(
            f"cannot listen on {host} port {port} ({error}); choose another port, or 0 for any free one"
        ) from error
    return listener
