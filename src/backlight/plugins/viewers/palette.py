"""Colours and names of clusters: colour-blind safe (after Paul Tol), noise grey and called noise."""

from __future__ import annotations

NOISE = -1
NOISE_COLOUR = "#a7adb5"
COLOURS = (
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
    "#ee7733",
    "#009988",
    "#882255",
    "#999933",
)
AXIS = "#8b929c"
GRID = "rgba(139, 146, 156, 0.18)"


def cluster_colour(cluster: int) -> str:
    """Return the colour of a cluster id."""
    return NOISE_COLOUR if cluster == NOISE else COLOURS[cluster % len(COLOURS)]


def cluster_name(cluster: int) -> str:
    """Return what a person calls a cluster id."""
    return "noise" if cluster == NOISE else f"cluster {cluster}"
