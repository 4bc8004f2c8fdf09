"""Pictures as data URIs, embeddings as inline SVG: a page that needs no other file."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

COLOURS = ("#b0b7c3", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
NOISE = "#dddddd"

_SMALL, _SIDE, _PLOT, _POINTS = 96, 224, 260, 2000


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture (H, W, 3) as a PNG data URI, small ones enlarged by whole pixels, big ones reduced."""
    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest < _SMALL:
        times = -(-_SMALL // longest)
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    elif longest > _SIDE:
        image.thumbnail((_SIDE, _SIDE))
    text = io.BytesIO()
    image.save(text, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(text.getvalue()).decode()


def colour(cluster: int) -> str:
    """Return the colour of a cluster; noise has its own."""
    return NOISE if cluster < 0 else COLOURS[cluster % len(COLOURS)]


def dendrogram(tree: Array, leaves: Array) -> str:
    """Return an SVG of merges, (l - 1, 4) as scipy's linkage, over parts of known size and cluster, (l, 2).

    Parts stand below, as wide as the root of their share, in their cluster's colour; height is distance.
    """
    from scipy.cluster.hierarchy import dendrogram as arranged

    counted = np.column_stack([tree[:, :3], _parts(tree)])
    drawn = arranged(counted, no_plot=True)
    top, step = float(tree[:, 2].max()) or 1.0, (_PLOT - 20) / (10 * len(leaves))
    lines = []
    for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        points = " ".join(
            f"{10 + x * step:.1f},{_PLOT - 30 - (_PLOT - 45) * y / top:.1f}"
            for x, y in zip(xs, ys, strict=True)
        )
        lines.append(f'<polyline points="{points}" fill="none" stroke="#56607a"/>')
    widest = float(leaves[:, 0].max())
    for place, leaf in enumerate(drawn["leaves"]):
        size, cluster = leaves[leaf]
        width = max(1.5, 9 * step * np.sqrt(size / widest))
        x = 10 + (10 * place + 5) * step - width / 2
        lines.append(
            f'<rect x="{x:.1f}" y="{_PLOT - 26}" width="{width:.1f}" height="14" '
            f'fill="{colour(int(cluster))}"><title>{size} samples, cluster {cluster}</title></rect>'
        )
    return f'<svg viewBox="0 0 {_PLOT} {_PLOT}" role="img">{"".join(lines)}</svg>'


def _parts(tree: Array) -> Array:
    """Return of how many of the parts that are drawn each merge is made."""
    leaves = len(tree) + 1
    counts = [1] * leaves
    for a, b in tree[:, :2].astype(int):
        counts.append(counts[a] + counts[b])
    return np.array(counts[leaves:])


def scatter(points: Array, clusters: Array) -> str:
    """Return an SVG of (N, 2) points in their clusters' colours; of many, evenly chosen ones."""
    if not len(points):
        return ""
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).astype(np.intp))
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    placed = 6 + (_PLOT - 12) * (points[chosen] - low) / span
    dots = [
        f'<circle cx="{x:.1f}" cy="{_PLOT - y:.1f}" r="2.2" fill="{colour(int(c))}"/>'
        for (x, y), c in zip(placed, clusters[chosen], strict=True)
    ]
    return _svg(dots, "the samples, neighbours close together, coloured by cluster")


def bars(values: Array, mark: int) -> str:
    """Return an SVG of ascending values as bars, with a line after number `mark`."""
    if not len(values):
        return ""
    width, tallest = _PLOT / len(values), max(float(values.max()), 1e-12)
    heights = (_PLOT - 10) * np.maximum(values, 0.0) / tallest
    drawn = [
        f'<rect x="{i * width + 1:.1f}" y="{_PLOT - height:.1f}" width="{max(width - 2, 1):.1f}" '
        f'height="{height:.1f}" fill="#7a869a"/>'
        for i, height in enumerate(heights)
    ]
    if 0 < mark < len(values):
        x = mark * width
        drawn.append(f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{_PLOT}" stroke="#d55e00"/>')
    return _svg(drawn, "the smallest eigenvalues, the line marks the largest gap")


def _svg(parts: list[str], label: str) -> str:
    head = f'<svg viewBox="0 0 {_PLOT} {_PLOT}" role="img" aria-label="{label}">'
    return "".join([head, *parts, "</svg>"])
