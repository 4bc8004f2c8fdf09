"""Answers travel compressed where that saves time: data always, scripts only to other machines."""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

from backlight.app.explorer.cache import ByteCache

SMALLEST = 4096
DATA = ("application/json", "text/html")
"""The page itself holds what can be chosen, see layout.document."""
SCRIPTS = ("text/javascript", "application/javascript", "text/css")
CACHE_BYTES = 32 << 20


def compress(server: Flask, *, scripts: bool) -> None:
    """Compress answers with data; `scripts` too, each once, where the network is slower than a processor."""
    cache = ByteCache(CACHE_BYTES)

    @server.after_request
    def shrink(response: Response) -> Response:
        wanted = response.mimetype in DATA or (scripts and response.mimetype in SCRIPTS)
        if not wanted or response.status_code != 200 or "gzip" not in request.accept_encodings:
            return response
        response.direct_passthrough = False
        body = response.get_data()
        if len(body) < SMALLEST:
            return response
        if response.mimetype in DATA:
            small = gzip.compress(body, 1)
        else:
            key = (request.full_path, len(body), response.headers.get("ETag"))
            small = cache.get(key, lambda: gzip.compress(body, 6))
        response.set_data(small)
        response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
        return response
