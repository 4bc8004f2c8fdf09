"""Live: explain an uploaded or selected picture by any composite, method and class, and place it in the map.

Off unless the explorer was started with a model. A picture stays in the visitor's browser, in the model's
size; the server answers each question from what the question brings and keeps nothing.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from numpy.typing import NDArray
from PIL import Image

from backlight.core.errors import BacklightError, RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import (
    Callbacks,
    Panel,
    PanelContext,
    check_colour,
    image_url,
    selected,
    selection,
    typed_array,
)
from backlight.core.pictures.heatmap import overlay, rgb_heatmap
from backlight.core.project import Category, Project
from backlight.core.projects.live import NONE, RUN, Answer, Live, Question, picture_of, read_upload
from backlight.core.projects.sample import probabilities
from backlight.plugins.viewers.placing import Placed, likeness, place, space_of

PREDICTED = "predicted"
BEST = 5
LARGEST = 44 << 20
"""Bytes of an upload that the browser still sends; what is above the limit itself gets a sentence."""

OFF = (
    "Live explanations are off: this explorer was started without a model. Start it again with ",
    html.Code("backlight explore RUN --live"),
    " where the run was made from a run.toml, or with ",
    html.Code("--model file.py:factory --weights FILE"),
    ".",
)
WAITING = "Drop a picture on the left, or select a sample and press “Explain it”."
PLACE = ("project", "analysis", "category")


@final
@dataclass(frozen=True)
class LivePanel(Panel):
    """Explanation of an uploaded or selected picture, and its place among the samples of the class."""

    title: ClassVar[str] = "Live"

    def layout(self, context: PanelContext) -> Any:
        """Return the form and the place of the answer, or how to switch the panel on."""
        said = html.Span(id=context.id("said"), className="quiet grow", role="status")
        busy = html.Span(id=context.id("busy"), className="live-busy", role="status")
        clear = html.Button(
            "Clear",
            id=context.id("clear"),
            className="btn btn-sm",
            title="Forget the picture, and take its cross from the map",
            hidden=True,
        )
        head = html.Div([html.H2("Live"), said, busy, clear], className="panel-head")
        if not context.live:
            return html.Div([head, html.P(OFF, className="empty")])
        stores = [dcc.Store(id=context.id(part)) for part in ("picture", "asked")]
        answer = html.Div(_waiting(), id=context.id("answer"), className="live-answer")
        return html.Div(
            [
                *stores,
                head,
                html.Div([_form(context), html.Div(answer, className="live-side")], className="live"),
            ]
        )

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Take a picture, explain it, select its neighbours; nothing at all without a model."""
        if context.live:
            self._offer(callback, context)
            self._take(callback, context)
            self._explain(callback, context)
            self._select(callback, context)

    def _offer(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            *[Output(context.id(key), "options") for key in ("target", "composite", "method")],
            *[Output(context.id(key), "value") for key in ("target", "composite", "method")],
            Output(context.id("facts"), "children"),
            Input(context.store("project"), "data"),
        )
        def offer(project: str | None) -> Any:
            live = context.live.get(project or "")
            if live is None or project is None:
                return [], [], [], PREDICTED, RUN, RUN, "This project has no model."
            return *_options(context.projects[project], live), PREDICTED, RUN, RUN, _facts(live)

        callback.clientside(
            """(selection, sample) => {
                const chosen = selection ? backlight.array(selection.indices) : [];
                const large = sample != null && (!chosen.length || chosen.includes(sample));
                const index = large ? sample : chosen.length ? chosen[0] : null;
                return [index == null ? "No sample selected" : `Explain sample ${index}`, index == null];
            }""",
            Output(context.id("use"), "children"),
            Output(context.id("use"), "disabled"),
            Input(context.store("selection"), "data"),
            Input(context.store("sample"), "data"),
        )

    def _take(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("picture"), "data"),
            Output(context.id("said"), "children"),
            Input(context.id("upload"), "contents"),
            State(context.id("upload"), "filename"),
            State(context.store("project"), "data"),
            prevent_initial_call=True,
        )
        def upload(contents: str | None, name: str | None, project: str) -> Any:
            if not contents or project not in context.live:
                return no_update, no_update
            name = str(name or "the upload")[:80]
            try:
                fitted = context.live[project].preprocessing.fit(read_upload(_decoded(contents), name))
            except BacklightError as error:
                return no_update, str(error)
            return {"name": name, "source": _address(fitted), "index": None}, name

        @callback(
            Output(context.id("picture"), "data", allow_duplicate=True),
            Output(context.id("said"), "children", allow_duplicate=True),
            Input(context.id("use"), "n_clicks"),
            State(context.store("selection"), "data"),
            State(context.store("sample"), "data"),
            State(context.store("project"), "data"),
            prevent_initial_call=True,
        )
        def use(clicks: int | None, chosen: Any, sample: int | None, project: str) -> Any:
            if not clicks or project not in context.live:
                return no_update, no_update
            try:
                index = _chosen(selected(chosen), sample)
                picture_of(context.projects[project], index)
            except BacklightError as error:
                return no_update, str(error)
            name = f"sample {index}"
            return {"name": name, "source": None, "index": index, "clicks": clicks}, name

        callback.clientside(
            "(clicks) => (clicks ? null : window.dash_clientside.no_update)",
            Output(context.id("picture"), "data", allow_duplicate=True),
            Input(context.id("clear"), "n_clicks"),
            prevent_initial_call=True,
        )

    def _explain(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("answer"), "children"),
            Output(context.store("placed"), "data"),
            Output(context.id("asked"), "data"),
            Output(context.id("said"), "children", allow_duplicate=True),
            Output(context.id("clear"), "hidden"),
            Input(context.id("picture"), "data"),
            *[Input(context.id(key), "value") for key in ("target", "composite", "method")],
            *[Input(context.store(store), "data") for store in (*PLACE, "colour", "shown")],
            State(context.id("asked"), "data"),
            prevent_initial_call=True,
            running=[(Output(context.id("busy"), "children"), "Explaining …", "")],
        )
        def explain(
            picture: dict[str, Any] | None, target: str, composite: str, method: str, *rest: Any
        ) -> Any:
            *place, colour, shown, asked = rest
            question = [picture, target, composite, method, *place, colour]
            if shown != context.name or place[0] not in context.live or question == asked:
                return (no_update,) * 5
            if not picture:
                return _waiting(), None, question, "", True
            try:
                look = Look(context, dict(zip(PLACE, place, strict=True)), check_colour(colour or {}))
                answer = _answer(look, picture, Question(composite, method, _class(target)))
            except BacklightError as error:
                return html.P(str(error), className="empty wrong", role="alert"), None, question, "", False
            return *answer, question, str(picture["name"]), False

    def _select(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("selection"), "data"),
            Input(context.id("neighbours"), "n_clicks", allow_optional=True),
            State(context.store("placed"), "data"),
        )
        def select(clicks: int | None, placed: dict[str, Any] | None) -> Any:
            if not clicks or not placed:
                return no_update
            return selection(placed["scope"], selected(placed), f"nearest to {placed['label']}")


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
        chosen = [self.place[key] for key in PLACE]
        return self.context.category(*chosen) if all(chosen) else None


def _answer(look: Look, picture: dict[str, Any], question: Question) -> tuple[Any, dict[str, Any] | None]:
    """Return what is shown of one explanation, and what the store `placed` is to hold."""
    index, name = picture.get("index"), str(picture["name"])[:80]
    pixels = _pixels(str(picture["source"])) if index is None else picture_of(look.project, int(index))
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
    scope = [look.place[key] for key in PLACE]
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
            html.Figure([html.Img(src=_address(pixels), alt=word), html.Figcaption(word)])
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
    button = html.Button(
        "Select them",
        id=look.context.id("neighbours"),
        className="btn btn-sm",
        title="Select the nearest samples",
    )
    heading = html.Div(["Nearest in ", category.name, button], className="live-near")
    return html.Div([heading, html.Div(strip, className="strip")], className="live-place")


def _waiting() -> html.P:
    return html.P(WAITING, className="empty")


def _note_list(notes: list[str]) -> html.Ul:
    return html.Ul([html.Li(note) for note in notes], className="live-notes")


def _form(context: PanelContext) -> html.Div:
    drop = dcc.Upload(
        html.Button(
            "Choose or drop a picture", className="btn btn-sm", title="PNG, JPEG, WebP, BMP, GIF or TIFF"
        ),
        id=context.id("upload"),
        accept="image/*",
        max_size=LARGEST,
        className="live-drop",
    )
    use = html.Button("No sample selected", id=context.id("use"), className="btn btn-sm", disabled=True)
    fields = [
        html.Div(
            [
                html.Label(word, htmlFor=context.id(key)),
                dbc.Select(id=context.id(key), value=value, size="sm"),
            ]
        )
        for key, word, value in (
            ("target", "Class to explain", PREDICTED),
            ("composite", "Composite", RUN),
            ("method", "Method", RUN),
        )
    ]
    facts = html.P(id=context.id("facts"), className="quiet")
    return html.Div([drop, use, *fields, facts], className="live-form")


def _options(project: Project, live: Live) -> tuple[list[dict[str, str]], ...]:
    composite, method = live.recipe
    classes = [{"value": str(x.index), "label": x.name} for x in project.labels.labels]
    words = {NONE: "none: plain gradient"}
    return (
        [{"value": PREDICTED, "label": "the predicted one"}, *classes],
        [
            {"value": name, "label": f"as the run: {composite}" if name == RUN else words.get(name, name)}
            for name in live.composites
        ],
        [{"value": name, "label": f"as the run: {method}" if name == RUN else name} for name in live.methods],
    )


def _facts(live: Live) -> str:
    height, width = live.preprocessing.size or (0, 0)
    same = {True: "the run's weights", False: "other weights than the run's", None: "weights not compared"}
    return f"{type(live.model).__name__}, {same[live.same_weights]}; pictures become {width} x {height}."


def _recipe(composite: str, method: str) -> str:
    return (
        method if composite == NONE else composite if method == "gradient" else f"{composite} with {method}"
    )


def _class(target: Any) -> int | None:
    if target in (None, PREDICTED):
        return None
    if not str(target).isascii() or not str(target).isdecimal():
        raise RequestError(f"{str(target)[:40]!r} is no class")
    return int(target)


def _chosen(indices: NDArray[np.int64], sample: Any) -> int:
    """Return the sample that is looked at large where it is selected, else the first of the selection."""
    if isinstance(sample, int) and (sample in indices or not len(indices)):
        return sample
    if not len(indices):
        raise RequestError("select a sample first")
    return int(indices[0])


def _decoded(contents: str) -> bytes:
    try:
        return base64.b64decode(str(contents).partition(",")[2], validate=True)
    except ValueError as error:
        raise RequestError(f"the upload is damaged ({error})") from error


def _pixels(address: str) -> NDArray[np.uint8]:
    """Return the picture behind what `_address` made, or somebody else put in its place."""
    return read_upload(_decoded(address), "the picture")


def _address(pixels: NDArray[np.uint8]) -> str:
    """Return a picture as the address of a lossless one that needs no request."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer live explanations."""
    return [PanelSpec("live", LivePanel, slot="bottom", order=50)]
