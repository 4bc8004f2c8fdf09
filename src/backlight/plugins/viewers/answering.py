"""What the live panel shows of one explanation: pictures, prediction, nearest samples, and what to mind."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dash import html
from numpy.typing import NDArray
from PIL import Image

from backlight.core.errors import BacklightError, RequestError
from backlight.core.panel import SCOPE, PanelContext, from_address, image_url, typed_array
from backlight.core.pictures.heatmap import overlay, rgb_heatmap
from backlight.core.project import Category, Project
from backlight.core.projects.live import NONE, RUN, Answer, Live, Question, picture_of, read_upload
from backlight.core.projects.sample import probabilities
from backlight.plugins.viewers.controls import button
from backlight.plugins.viewers.placing import Placed, likeness, place, space_of

BEST = 5


@dataclass(frozen=True)
class Look:
    """What is looked at while a picture is explained: the values of the stores by name, and the colours."""

    context: PanelContext
    place: dict[str, Any]
    colour: dict[str, str]

    @property
    def project(self) -> Project:
        """The project."""
        return self.context.projects[self.place["project"]]

    @property
    def live(self) -> Live:
        """Its model."""
        return self.context.live[self.place["project"]]

    @property
    def category(self) -> Category | None:
        """The class whose map is shown, if any."""
        chosen = [self.place[key] for key in SCOPE]
        return self.context.category(*chosen) if all(chosen) else None


def answered(look: Look, picture: dict[str, Any], question: Question) -> tuple[Any, dict[str, Any] | None]:
    """Return what is shown of one explanation, and what the store `placed` is to hold."""
    index, name = picture.get("index"), str(picture["name"])[:80]
    pixels = pixels_of(str(picture["source"])) if index is None else picture_of(look.project, int(index))
    found, missing = _explained(look, pixels, question)
    notes = _notes(look, question, found)
    if index is not None:
        notes += _agreement(look.project, int(index), found)
    parts = [_pictures(found, look.colour), _prediction(look.project, found)]
    try:
        if missing or look.category is None:
            raise RequestError(missing or "there is no class here")
        placed = place(look.project, look.category, found.relevance if found.layer is None else found.layer)
    except BacklightError as error:
        parts += [html.Div(className="live-place"), _note_list([*notes, f"Not placed: {error}."])]
        return html.Div(parts, className="live-found"), None
    parts += [_neighbourhood(look, placed), _note_list([*notes, _how(look, placed)])]
    scope = [look.place[key] for key in SCOPE]
    where = {"indices": typed_array(placed.index), "weights": typed_array(placed.weights)}
    return html.Div(parts, className="live-found"), {"scope": scope, "label": name, **where}


def _explained(look: Look, pixels: NDArray[np.uint8], question: Question) -> tuple[Answer, str]:
    """Explain, with the relevance of the layer that the analysis compares; where it has none, say why."""
    layer = space_of(look.category) if look.category else None
    if layer is None:
        return look.live.explain(pixels, question), ""
    try:
        return look.live.explain(pixels, replace(question, layer=layer)), ""
    except RequestError as error:
        return look.live.explain(pixels, question), str(error)


def _notes(look: Look, question: Question, found: Answer) -> list[str]:
    """Return what a person should know before comparing this heatmap with the run's."""
    notes = []
    if look.live.same_weights is False:
        notes.append("The model's weights are not those that the run was made with.")
    if question.composite != RUN or question.method != RUN:
        composite, method = look.live.recipe
        notes.append(f"The run's own heatmaps were made by {_recipe(composite, method)}; this one was not.")
    label = look.category.label if look.category else None
    if label is not None and label.index != found.target:
        other = look.project.labels.label(found.target).name
        notes.append(f"The map holds explanations of {label.name}; this one explains {other}.")
    return notes


def _agreement(project: Project, index: int, found: Answer) -> list[str]:
    """Say how alike the heatmap is to the one that the run stored of the same sample."""
    if not project.attributions.holds(np.array([index]))[0]:
        return []
    alike = likeness(found.relevance, project.attributions.relevance(index))
    return [f"Cosine with the heatmap that the run stored: {alike:.3f}."] if np.isfinite(alike) else []


def _how(look: Look, placed: Placed) -> str:
    assert look.category is not None
    total, layer = len(look.category.index), space_of(look.category)
    among = f"{placed.compared:,}" if placed.compared == total else f"{placed.compared:,} of {total:,}"
    steps = f", after {', '.join(placed.steps)}" if placed.steps else ""
    return (
        f"Its cross on the map is the mean of its {len(placed.index)} nearest samples' places, weighted by "
        f"1/distance. Distances are between {f'relevance of layer {layer}' if layer else 'heatmaps'}{steps}, "
        f"as in the analysis, to {among} samples. The map itself is not computed anew."
    )


def _pictures(found: Answer, colour: dict[str, str]) -> html.Div:
    cmap, scaling = colour["cmap"], colour["scaling"] if colour["scaling"] != "shared" else "image"
    heat = rgb_heatmap(found.relevance, cmap, scaling)
    over = overlay(found.relevance, found.picture, cmap, scaling)
    shown = (("input", found.picture), ("heatmap", heat), ("overlay", over))
    return html.Div(
        [
            html.Figure([html.Img(src=address(pixels), alt=word), html.Figcaption(word)])
            for word, pixels in shown
        ],
        className="live-pictures",
    )


def _prediction(project: Project, found: Answer) -> html.Div:
    chances = probabilities(found.output[None])[0]
    best = np.argsort(-chances, kind="stable")[:BEST].tolist()
    listed = [*best, *([found.target] if found.target not in best else [])]
    rows = [
        html.Tr(
            [
                html.Td(project.labels.label(k).name, title=project.labels.label(k).name),
                html.Td(f"{chances[k]:.1%}", className="number"),
                html.Td("explained" if k == found.target else "", className="quiet"),
            ],
            className="chosen" if k == found.target else "",
        )
        for k in listed
    ]
    heading = html.Div(["Prediction", html.Span(f"{found.seconds:.1f} s", className="quiet")])
    return html.Div([heading, html.Table(html.Tbody(rows))], className="live-prediction")


def _neighbourhood(look: Look, placed: Placed) -> html.Div:
    category, colour = look.category, look.colour
    assert category is not None
    strip = [
        html.Img(
            src=image_url(look.project.name, int(i), "overlay", colour["cmap"]),
            alt=f"sample {i}",
            title=f"sample {i}, distance {d:.3g}",
        )
        for i, d in zip(placed.index.tolist(), placed.distance.tolist(), strict=True)
    ]
    choose = button("Select them", look.context.id("neighbours"), "Select the nearest samples")
    heading = html.Div(["Nearest in ", category.name, choose], className="live-near")
    return html.Div([heading, html.Div(strip, className="strip")], className="live-place")


def _note_list(notes: list[str]) -> html.Ul:
    return html.Ul([html.Li(note) for note in notes], className="live-notes")


def _recipe(composite: str, method: str) -> str:
    return (
        method if composite == NONE else composite if method == "gradient" else f"{composite} with {method}"
    )


def pixels_of(source: str) -> NDArray[np.uint8]:
    """Return the picture behind what `address` made, or somebody else put in its place."""
    return read_upload(from_address(source), "the picture")


def address(pixels: NDArray[np.uint8]) -> str:
    """Return a picture as the address of a lossless one that needs no request."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
