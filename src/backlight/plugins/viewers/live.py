"""Live: explain an uploaded or selected picture by any composite, method and class, and place it in the map.

Off unless the explorer was started with a model. A picture stays in the visitor's browser, in the model's
size; the server answers each question from what the question brings and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from numpy.typing import NDArray

from backlight.core.errors import BacklightError, RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import (
    SCOPE,
    Callbacks,
    Panel,
    PanelContext,
    check_colour,
    from_address,
    selected,
    selection,
)
from backlight.core.project import Project
from backlight.core.projects.live import NONE, RUN, Live, Question, picture_of, read_upload
from backlight.plugins.viewers.answering import Look, address, answered
from backlight.plugins.viewers.controls import button, select

PREDICTED = "predicted"
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


@final
@dataclass(frozen=True)
class LivePanel(Panel):
    """Explanation of an uploaded or selected picture, and its place among the samples of the class."""

    title: ClassVar[str] = "Live"

    def layout(self, context: PanelContext) -> Any:
        """Return the form and the place of the answer, or how to switch the panel on."""
        said = html.Span(id=context.id("said"), className="quiet grow", role="status")
        busy = html.Span(id=context.id("busy"), className="live-busy", role="status")
        title = "Forget the picture, and take its cross from the map"
        clear = button("Clear", context.id("clear"), title, hidden=True)
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
                fitted = context.live[project].preprocessing.fit(read_upload(from_address(contents), name))
            except BacklightError as error:
                return no_update, str(error)
            return {"name": name, "source": address(fitted), "index": None}, name

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
            *[Input(context.store(store), "data") for store in (*SCOPE, "colour", "shown")],
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
                look = Look(context, dict(zip(SCOPE, place, strict=True)), check_colour(colour or {}))
                answer = answered(look, picture, Question(composite, method, _class(target)))
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


def _waiting() -> html.P:
    return html.P(WAITING, className="empty")


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
        html.Div(select(context, key, word, value=value))
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


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer live explanations."""
    return [PanelSpec("live", LivePanel, slot="bottom", order=50)]
