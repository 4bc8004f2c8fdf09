"""Routes for pictures: inputs, heatmaps, overlays, means of clusters, colour bars, and facts beside them."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify, request
from numpy.typing import NDArray
from PIL import Image

from backlight.app.explorer.cache import ByteCache
from backlight.core.errors import BacklightError, FormatError, RequestError, unknown
from backlight.core.panel import MODES
from backlight.core.pictures.heatmap import (
    SCALINGS,
    channel_sum,
    colour_map,
    normalised,
    overlay,
    rgb_heatmap,
)
from backlight.core.pictures.mean import mean_heatmap
from backlight.core.project import Project
from backlight.core.projects.sample import describe

CACHE_BYTES = 64 << 20


def image_routes(projects: Mapping[str, Project], cache_bytes: int = CACHE_BYTES) -> Blueprint:
    """Return the routes `/image/<project>/<n>.png`, `/mean/<project>.png`, `/sample/…`, `/colourbar.png`."""
    routes = Blueprint("images", __name__)
    cache = ByteCache(cache_bytes)
    strength = functools.cache(lambda name: _typical_strength(projects[name]))
    stamps = {name: _stamp(project) for name, project in projects.items()}

    def answer(key: tuple[Any, ...], render: Callable[[], bytes]) -> Response:
        etag = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
        if request.if_none_match.contains(etag):
            return _tagged(Response(status=304), etag)
        return _tagged(Response(cache.get(key, render), mimetype="image/png"), etag)

    @routes.get("/image/<path:project>/<int:index>.png")
    def image(project: str, index: int) -> Response:
        mode, cmap = _choice("mode", MODES, "input"), request.args.get("cmap", "coldnhot")
        scaling = _choice("scaling", SCALINGS, "image")
        channel = _channel()
        colour_map(cmap)
        opened = _project(projects, project)
        heat = () if mode == "input" else (cmap, scaling, channel)
        key = (project, stamps[project], index, mode, *heat)
        return answer(key, lambda: _render(opened, index, mode, (cmap, scaling, channel), strength))

    @routes.get("/mean/<path:project>.png")
    def mean(project: str) -> Response:
        opened, cmap = _project(projects, project), request.args.get("cmap", "coldnhot")
        colour_map(cmap)
        chosen = [_members(opened, number) for number in ("cluster", "minus") if number in request.args]
        digests = [hashlib.sha256(members.tobytes()).hexdigest() for members in chosen]
        return answer((project, stamps[project], *digests, cmap), lambda: _mean(opened, chosen, cmap))

    @routes.get("/sample/<path:project>/<int:index>.json")
    def sample(project: str, index: int) -> Response:
        found = describe(_project(projects, project), [index])[0]
        return jsonify(
            label=found.label, predicted=found.predicted, correct=found.correct, file=found.file_name
        )

    @routes.get("/colourbar.png")
    def colour_bar() -> Response:
        colours = colour_map(request.args.get("cmap", "coldnhot")).rgb(np.linspace(0, 1, 256))[None]
        return Response(_png(colours), mimetype="image/png", headers={"Cache-Control": "max-age=86400"})

    @routes.get("/image/<path:rest>")
    @routes.get("/sample/<path:rest>")
    @routes.get("/mean/<path:rest>")
    def nothing(rest: str) -> Response:
        # Dash would answer with the page; an address that looks like a picture's should not.
        raise _MissingError(f"there is no picture or sample {rest!r}")

    @routes.errorhandler(BacklightError)
    def refuse(error: BacklightError) -> tuple[Response, int]:
        return Response(str(error), mimetype="text/plain"), 404 if isinstance(
            error, _MissingError | FormatError
        ) else 400

    return routes


class _MissingError(RequestError):
    """Something that is not there, as opposed to a request that makes no sense."""


def _project(projects: Mapping[str, Project], name: str) -> Project:
    if name not in projects:
        raise _MissingError(unknown("project", name, projects))
    return projects[name]


def _choice(name: str, choices: Iterable[str], default: str) -> str:
    value = request.args.get(name, default)
    if value not in choices:
        raise RequestError(unknown(name, value, choices))
    return value


def _channel() -> int | None:
    value = request.args.get("channel")
    if value is not None and not (value.isascii() and value.isdecimal() and len(value) < 6):
        raise RequestError(f"channel is {value[:40]!r}, expected a whole number from 0")
    return None if value is None else int(value)


def _render(
    project: Project,
    index: int,
    mode: str,
    heat: tuple[str, str, int | None],
    strength: Callable[[str], float],
) -> bytes:
    cmap, scaling, channel = heat
    if not 0 <= index < len(project.dataset):
        raise _MissingError(
            f"project {project.name!r} has {len(project.dataset)} samples, none numbered {index}"
        )
    if mode == "input":
        return _png(project.dataset.image(index))
    relevance = project.attributions.relevance(index)
    reference = strength(project.name) if scaling == "shared" else None
    if channel is not None:
        return _png(_of_channel(relevance, channel, cmap))
    if mode == "attribution":
        return _png(rgb_heatmap(relevance, cmap, scaling, reference))
    return _png(overlay(relevance, project.dataset.image(index), cmap, scaling, reference))


def _members(project: Project, which: str) -> NDArray[np.int64]:
    """Return the samples of the cluster that a parameter of the request names."""
    analysis, category, clustering = (
        request.args.get(name, "") for name in ("analysis", "category", "clustering")
    )
    text = request.args[which]
    if not re.fullmatch(r"-?\d{1,9}", text, re.ASCII):
        raise RequestError(f"{which} is {text[:40]!r}, expected a number")
    members = project.members(project.analysis(analysis).category(category), clustering, int(text))
    if not len(members):
        raise _MissingError(f"{clustering} has no cluster {text}")
    return members


def _mean(project: Project, chosen: list[NDArray[np.int64]], cmap: str) -> bytes:
    means = [mean_heatmap(project, members) for members in chosen]
    if not means or any(mean is None or mean.shape != means[0].shape for mean in means):  # type: ignore[union-attr]
        raise _MissingError("the heatmaps have no mean: they are missing, or of several sizes")
    values = means[0] if len(means) == 1 else means[0] - means[1]  # type: ignore[operator]
    return _png(colour_map(cmap).rgb(normalised(values)))


def _of_channel(relevance: Any, channel: int, cmap: str) -> Any:
    """Return the heatmap of one channel, on the scale of the strongest one so that they can be compared."""
    if channel >= len(relevance):
        raise _MissingError(f"the relevance has {len(relevance)} channels, none numbered {channel}")
    strongest = float(np.nan_to_num(np.abs(relevance)).max(initial=0.0))
    return rgb_heatmap(relevance[channel], cmap, "shared", strongest)


def _typical_strength(project: Project) -> float:
    """Return the strongest relevance that one in ten of some samples surpasses, for scaling all alike."""
    known = project.attributions.indices
    some = known[np.linspace(0, len(known) - 1, min(len(known), 64)).astype(int)]
    strongest = [np.abs(channel_sum(project.attributions.relevance(int(i)))).max() for i in some]
    return float(np.quantile(strongest, 0.9)) if strongest else 0.0


def _png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", compress_level=3)
    return buffer.getvalue()


def _tagged(response: Response, etag: str) -> Response:
    response.set_etag(etag)
    # Asked for again each time, answered with 304: a rerun must not leave old pictures behind.
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _stamp(project: Project) -> tuple[int, ...]:
    """Return what changes when the files behind a project's pictures do."""
    return tuple(path.stat().st_mtime_ns for path in sorted(project.root.glob("*.h5")) if path.is_file())
