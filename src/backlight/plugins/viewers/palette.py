"""Colours of clusters: colour-blind safe (after Paul Tol), noise grey."""

from __future__ import annotations

from backlight.core.projects.curation import NOISE

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


def cluster_colour(cluster: int) -> str:
    """Return the colour of a cluster id."""
    return NOISE_COLOUR if cluster == NOISE else COLOURS[cluster % len(COLOURS)]
