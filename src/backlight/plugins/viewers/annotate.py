"""Name an artefact: tag the selected samples, note what they share, hand the findings on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
import numpy as np
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.errors import BacklightError, RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import (
    PLACE,
    SCOPE,
    Callbacks,
    Panel,
    PanelContext,
    from_address,
    selected,
    selection,
)
from backlight.core.projects.annotations import Annotations, Tag
from backlight.core.projects.events import NAME_LENGTH, NOTE_LENGTH, checked_name, document, read_events
from backlight.core.projects.table import rows
from backlight.plugins.viewers.controls import button, clicked
from backlight.plugins.viewers.handout import FORMATS, encode
from backlight.plugins.viewers.stepping import step, steps

EMPTY = "No tags yet. Select samples, name what they share, and press “Tag selection”."
UPLOAD_LIMIT = 16 << 20
RECENT = 12


@final
@dataclass(frozen=True)
class Annotate(Panel):
    """Tags and notes, saved beside the project with their history; export of ids with labels and clusters."""

    title: ClassVar[str] = "Tags"

    def layout(self, context: PanelContext) -> Any:
        """Return the form, the list of tags, the ways to hand on, and the history."""
        said = html.Span(id=context.id("said"), className="quiet grow", role="status")
        taken = html.Div(id=context.id("steps"), className="steps-back")
        head = html.Div([html.H2("Tags"), said, taken], className="panel-head")
        body = html.Div([_form(context), _listing(context)], className="annotate")
        changed = dcc.Store(id=context.id("changed"), data=0)
        return html.Div([changed, dcc.Download(id=context.id("download")), head, body])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Tag and note; list; select; hand on and take in."""
        self._show(callback, context)
        self._change(callback, context)
        self._select(callback, context)
        self._hand_on(callback, context)
        self._take_in(callback, context)

    def _show(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("tags"), "children"),
            Output(context.id("history"), "children"),
            Output(context.id("steps"), "children"),
            Input(context.store("project"), "data"),
            Input(context.id("changed"), "data"),
            Input(context.store("shown"), "data"),
        )
        def show(project: str | None, changed: int, shown: str) -> Any:
            if not project:
                return None, None, None
            notes = context.projects[project].annotations
            tags = list(notes.tags().values())
            listed = [_tag(context, tag, number) for number, tag in enumerate(tags, 1)]
            events = [
                html.Li(f"{e.at[:16].replace('T', ' ')} · {e.by} · {e.sentence}")
                for e in reversed(notes.history()[-RECENT:])
            ]
            return listed or html.P(EMPTY, className="empty"), events, steps(context, notes)

        callback.clientside(
            """(selection) => {
                const n = selection ? backlight.array(selection.indices).length : 0;
                return [n ? `Tag ${n.toLocaleString("en")} selected` : "Nothing selected", !n];
            }""",
            Output(context.id("add"), "children"),
            Output(context.id("add"), "disabled"),
            Input(context.store("selection"), "data"),
        )

    def _change(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("changed"), "data"),
            Output(context.id("said"), "children"),
            Input(context.id("add"), "n_clicks"),
            Input(context.item("more", ALL), "n_clicks"),
            Input(context.item("less", ALL), "n_clicks"),
            Input(context.item("remove", ALL), "n_clicks"),
            Input(context.item("step", ALL), "n_clicks"),
            State(context.id("name"), "value"),
            State(context.id("note"), "value"),
            State(context.store("selection"), "data"),
            State(context.store("project"), "data"),
            State(context.id("changed"), "data"),
            prevent_initial_call=True,
        )
        def change(*values: Any) -> Any:
            name, note, chosen, project, count = values[-5:]
            if not clicked() or project not in context.projects:
                return no_update, no_update
            notes = context.projects[project].annotations
            try:
                if isinstance(ctx.triggered_id, dict):
                    act = ctx.triggered_id["type"].removeprefix(context.id(""))
                    said = _apply(notes, act, ctx.triggered_id["index"], selected(chosen))
                else:
                    said = _apply(notes, "more", checked_name(name), selected(chosen))
                    if note:
                        notes.note(checked_name(name), str(note))
            except BacklightError as error:  # the form stays, to be filled in better
                return no_update, _sentence(error)
            return (count or 0) + 1, said

    def _select(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("selection"), "data"),
            Output(context.id("name"), "value"),
            Output(context.id("note"), "value"),
            Input(context.item("pick", ALL), "n_clicks"),
            *[State(context.store(store), "data") for store in SCOPE],
        )
        def pick(clicks: list[int | None], project: str, analysis: str, category: str) -> Any:
            if not clicked():
                return no_update, no_update, no_update
            tag = context.projects[project].annotations.tags().get(ctx.triggered_id["index"])
            if tag is None:
                raise RequestError("somebody has removed this tag meanwhile")
            return (
                selection((project, analysis, category), tag.samples, f"tag {tag.name}"),
                tag.name,
                tag.note,
            )

    def _hand_on(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("download"), "data"),
            Output(context.id("said"), "children", allow_duplicate=True),
            Input(context.item("save", ALL), "n_clicks"),
            State(context.store("selection"), "data"),
            *[State(context.store(store), "data") for store in PLACE],
            prevent_initial_call=True,
        )
        def save(
            clicks: list[int | None], chosen: Any, project: str, analysis: str, category: str, clustering: str
        ) -> Any:
            if not clicked():
                return no_update, no_update
            form, opened = ctx.triggered_id["index"], context.projects[project]
            if form == "tags":
                text = json.dumps(document(opened.annotations.history()), ensure_ascii=False)
                name = opened.annotations.path.name
                return dcc.send_string(text, name), f"Exported {name}"
            tags = opened.annotations.tags()
            indices = selected(chosen)
            if not len(indices):
                indices = np.unique(
                    np.concatenate([np.zeros(0, np.int64), *(t.samples for t in tags.values())])
                )
            indices = indices[indices < len(opened.dataset)]
            if not len(indices):
                return no_update, "Select samples or tag some first: there is nothing to export."
            found = rows(opened, indices, tags, context.category(project, analysis, category), clustering)
            return dcc.send_bytes(encode(found, form), f"samples.{form}"), f"Exported {len(found):,} samples"

    def _take_in(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("changed"), "data", allow_duplicate=True),
            Output(context.id("said"), "children", allow_duplicate=True),
            Input(context.id("load"), "contents"),
            State(context.id("load"), "filename"),
            State(context.store("project"), "data"),
            State(context.id("changed"), "data"),
            prevent_initial_call=True,
        )
        def load(contents: str | None, name: str, project: str, count: int) -> Any:
            if not contents or project not in context.projects:
                return no_update, no_update
            try:
                found = json.loads(from_address(contents))
                added = context.projects[project].annotations.merge(read_events(found, str(name)))
            except (ValueError, RecursionError) as error:
                return no_update, f"{name} is not JSON ({error})"
            except BacklightError as error:
                return no_update, _sentence(error)
            return (count or 0) + 1, f"{added} new entries from {name}"


def _apply(notes: Annotations, act: str, name: str, chosen: Any) -> str:
    if act == "step":
        return step(notes, name)
    if act == "remove":
        notes.remove(name)
        return f"Removed {name}; its history stays"
    if not len(chosen):
        raise RequestError("select samples first")
    do: Callable[[str, Any], None] = notes.tag if act == "more" else notes.untag
    do(name, chosen)
    return f"{name}: {len(chosen):,} samples {'added' if act == 'more' else 'taken out'}"


def _sentence(error: BacklightError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def _form(context: PanelContext) -> html.Div:
    name = dbc.Input(
        id=context.id("name"),
        placeholder="Name of the artefact",
        maxLength=NAME_LENGTH,
        size="sm",
        debounce=False,
    )
    note = dbc.Textarea(
        id=context.id("note"),
        placeholder="What do these samples share?",
        maxLength=NOTE_LENGTH,
        rows=2,
        size="sm",
    )
    add = html.Button("Nothing selected", id=context.id("add"), className="btn btn-sm main", disabled=True)
    words = {"tags": "All tags, for another copy", **{form: form.upper() for form in FORMATS}}
    buttons = [
        button(
            "Tags" if form == "tags" else word,
            context.item("save", form),
            word if form == "tags" else f"Ids, files, labels, predictions, clusters, tags as {word}",
        )
        for form, word in reversed(words.items())
    ]
    load = dcc.Upload(
        html.Button("Load tags", className="btn btn-sm", title="Add the tags of another copy"),
        id=context.id("load"),
        accept=".json,application/json",
        max_size=UPLOAD_LIMIT,
    )
    return html.Div(
        [
            html.Label("Tag", htmlFor=context.id("name")),
            name,
            html.Label("Note", htmlFor=context.id("note")),
            note,
            add,
            html.Div([html.Span("Export", className="quiet"), *buttons, load], className="hand-on"),
        ],
        className="annotate-form",
    )


def _listing(context: PanelContext) -> html.Div:
    history = html.Details([html.Summary("History"), html.Ul(id=context.id("history"))], className="history")
    return html.Div([html.Div(id=context.id("tags"), className="tags"), history], className="annotate-list")


def _tag(context: PanelContext, tag: Tag, number: int) -> html.Div:
    key = str(number) if number <= 9 else ""
    pick = html.Button(
        tag.name,
        id=context.item("pick", tag.name),
        className="link",
        title=f"Select the samples of {tag.name}",
    )
    return html.Div(
        [
            html.Kbd(key) if key else html.Span(),
            html.Div([pick, html.Div(tag.note, className="quiet note")], className="tag-text"),
            html.Span(f"{len(tag.samples):,}", className="number"),
            button("+", context.item("more", tag.name), f"Add the selection to {tag.name}", key=key),
            button("−", context.item("less", tag.name), f"Take the selection out of {tag.name}"),
            button("×", context.item("remove", tag.name), f"Remove {tag.name}"),
        ],
        className="tag-row",
    )


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the tags."""
    return [PanelSpec("annotate", Annotate, slot="bottom", order=30)]
