"""How the selected samples are labelled and predicted: a table of counts, most frequent first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, final

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, selected
from backlight.core.projects.sample import Sample, describe
from dash import Input, Output, State, html

MOST = 1000
"""Samples looked at; reading more takes longer than a person waits."""


@final
@dataclass(frozen=True)
class Outcome(Panel):
    """Count labels and predictions of the selected samples."""

    title: ClassVar[str] = "Outcome"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading and the place of the table."""
        return html.Div([html.H2("Outcome"), html.Div(_table([]), id=context.id("table"))])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Follow the shared selection."""

        @callback(
            Output(context.id("table"), "children"),
            Input(context.store("selection"), "data"),
            State(context.store("project"), "data"),
        )
        def show(selection: dict[str, Any] | None, project: str | None) -> Any:
            indices = selected(selection).tolist()[:MOST]
            return _table(describe(context.projects[project], indices) if project and indices else [])


def _table(samples: list[Sample]) -> Any:
    if not samples:
        return html.P("Select samples to see how they are labelled and predicted.", className="empty")
    pairs = Counter((s.label or "?", s.predicted[0][0] if s.predicted else "?") for s in samples)
    head = html.Thead(html.Tr([html.Th(text) for text in ("label", "predicted", "samples")]))
    rows = [html.Tr([html.Td(label), html.Td(top), html.Td(n)]) for (label, top), n in pairs.most_common(8)]
    return html.Table([head, html.Tbody(rows)])


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the panel."""
    return [PanelSpec("outcome", Outcome, slot="side", order=400)]
