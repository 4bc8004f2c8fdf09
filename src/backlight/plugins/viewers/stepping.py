"""Undo and redo of what people noted: two buttons, each of which takes back the very change that it names."""

from __future__ import annotations

from dash import html

from backlight.core.errors import RequestError
from backlight.core.panel import PanelContext
from backlight.core.projects.annotations import Annotations
from backlight.core.projects.events import UNDO, Event
from backlight.plugins.viewers.controls import button


def steps(context: PanelContext, notes: Annotations, place: str = "") -> list[html.Button]:
    """Return the buttons for a place, see `Annotations.last`; their ids are `context.item("step", …)`."""
    return [
        _button(context, word, event, event and _change(notes, event))
        for word, event in (("Undo", notes.last(place)), ("Redo", notes.undone(place)))
    ]


def step(notes: Annotations, number: str) -> str:
    """Take back the change or the undoing of an id, and say which it was."""
    event = _of(notes, number)
    if event is None:
        raise RequestError("there is nothing to undo here")
    notes.undo(event)
    return f"{'Redone' if event.do == UNDO else 'Undone'}: {_change(notes, event).sentence}"


def _of(notes: Annotations, number: str) -> Event | None:
    return next((event for event in notes.history() if event.id == number), None)


def _change(notes: Annotations, event: Event) -> Event:
    """Return the change that an event, or the undoing of one, is about."""
    while event.do == UNDO and (earlier := _of(notes, event.text)) is not None:
        event = earlier
    return event


def _button(context: PanelContext, word: str, event: Event | None, about: Event | None) -> html.Button:
    title = f"{word}: {about.sentence}, by {about.by}" if about else f"Nothing to {word.lower()}"
    number = event.id if event else word
    return button(word, context.item("step", number), title, disabled=event is None)
