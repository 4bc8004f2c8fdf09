"""One sample in a window of its own: its pictures, its channels, the facts about it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import dash_bootstrap_components as dbc
import numpy as np
from dash import html

from backlight.core.errors import FormatError
from backlight.core.panel import MODES, PanelContext, image_url
from backlight.core.project import Project
from backlight.core.projects.sample import Sample
from backlight.plugins.viewers.controls import button

MOST_CHANNELS = 12


def large(context: PanelContext) -> dbc.Modal:
    """Return the window, which `enlarged` fills, with the buttons that lead to other samples."""
    steps = [
        button(text, context.item("step", by), title, key=key)
        for text, by, title, key in (("‹", -1, "Previous sample", "p"), ("›", 1, "Next sample", "n"))
    ]
    title = "Select the samples nearest to this one in the analysis"
    steps.append(button("Similar", context.id("similar"), title, key="s"))
    header = dbc.ModalHeader(
        [dbc.ModalTitle(id=context.id("large-title")), html.Div(steps, className="steps")]
    )
    body = dbc.ModalBody(id=context.id("large-body"))
    return dbc.Modal(
        [header, body],
        id=context.id("large"),
        is_open=False,
        size="xl",
        centered=True,
        labelledby=context.id("large-title"),
    )


def enlarged(project: Project, sample: Sample, colour: dict[str, str]) -> list[Any]:
    """Return a sample large in every mode, with what is known about it."""
    cmap, scaling = colour["cmap"], colour["scaling"]
    pictures = [
        html.Figure(
            [
                html.Img(src=image_url(project.name, sample.index, mode, cmap, scaling), alt=mode),
                html.Figcaption(mode),
            ]
        )
        for mode in MODES
    ]
    bar = html.Img(src=f"/colourbar.png?{urlencode({'cmap': cmap})}", alt="colour bar, negative to positive")
    guesses = [
        html.Div([html.Span(name), html.Span(f"{p:.1%}", className="number")]) for name, p in sample.predicted
    ]
    facts = {
        "Label": sample.label or "not recorded",
        "Predicted": html.Div(guesses, className="guesses") if guesses else "not recorded",
        "File": sample.file_name,
        "Dataset index": str(sample.index),
    }
    listed = [part for name, value in facts.items() for part in (html.Dt(name), html.Dd(value))]
    return [
        html.Div(pictures, className="pictures"),
        html.Div(
            [html.Span("negative relevance"), bar, html.Span("positive relevance")],
            className="colour-bar wide",
        ),
        _channels(project, sample, colour),
        html.Dl(listed, className="sample-facts"),
    ]


def _channels(project: Project, sample: Sample, colour: dict[str, str]) -> html.Details | None:
    """Return the heatmap of every channel on one scale, and the share of the relevance that each has."""
    try:
        relevance = np.nan_to_num(project.attributions.relevance(sample.index))
    except FormatError:
        return None
    if len(relevance) < 2:
        return None
    strength = np.abs(relevance).sum(axis=(1, 2), dtype=np.float64)
    shares = strength / (strength.sum() or 1.0)
    names = ("red", "green", "blue") if len(relevance) == 3 else range(len(relevance))
    pictures = [
        html.Figure(
            [
                html.Img(
                    src=image_url(project.name, sample.index, "attribution", colour["cmap"], channel=k),
                    alt=f"heatmap of channel {name}",
                ),
                html.Figcaption(f"{name} · {share:.0%} of |R|"),
            ]
        )
        for k, (name, share) in enumerate(zip(names, shares.tolist(), strict=True))
    ]
    return html.Details(
        [
            html.Summary("Relevance of each channel"),
            html.Div(pictures[:MOST_CHANNELS], className="pictures channels"),
        ],
        className="channel-view",
    )
