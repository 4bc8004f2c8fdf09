"""The spectrum: Laplacian eigenvalues, ascending, with the eigengap that suggests a number of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import Input, Output, html
from numpy.typing import NDArray

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import SCOPE, Callbacks, Panel, PanelContext
from backlight.core.project import Category

NUMBERED = 5
"""Every so many eigenvalues have their number beneath."""


@final
@dataclass(frozen=True)
class Spectrum(Panel):
    """Eigenvalues of the class's spectral embedding, ascending, with the eigengap marked."""

    title: ClassVar[str] = "Spectrum"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading with the suggestion, and the chart."""
        head = html.Div(
            [html.H2("Eigenvalues"), html.Span(id=context.id("gap"), className="quiet")],
            className="panel-head",
        )
        return html.Div([head, html.Div(id=context.id("body"))])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Redraw when the class changes."""

        @callback(
            Output(context.id("gap"), "children"),
            Output(context.id("body"), "children"),
            *[Input(context.store(store), "data") for store in SCOPE],
        )
        def draw(project: str, analysis: str, category: str) -> tuple[Any, Any]:
            values = (
                ascending(found)
                if category and (found := context.category(project, analysis, category))
                else None
            )
            if values is None:
                return "", html.P("This class has no spectral embedding with eigenvalues.", className="empty")
            gap = eigengap(found, values)
            return (f"gap after {gap}" if gap else ""), chart(values, gap)


def ascending(category: Category) -> NDArray[np.float64] | None:
    """Return the eigenvalues of the first embedding that has any, ascending."""
    for name in category.embeddings:
        values = category.embedding(name).eigenvalues
        if values is not None and np.size(values):
            return np.sort(np.asarray(values, dtype=np.float64))
    return None


def eigengap(category: Category, values: NDArray[np.float64]) -> int | None:
    """Return after how many eigenvalues the gap lies: as the analysis recorded it, else the widest."""
    if "eigengap" in category.scores and category.scores["eigengap"].ndim == 0:
        recorded = int(category.scores["eigengap"])
        return recorded if 0 < recorded < len(values) else None
    return int(np.argmax(np.diff(values))) + 1 if len(values) > 1 else None


def chart(values: NDArray[np.float64], gap: int | None) -> html.Div:
    """Return one bar for each eigenvalue from zero up, those before the gap in the accent colour."""
    top = float(values.max()) if len(values) and values.max() > 0 else 1.0
    bars = [_bar(number, value, top, gap) for number, value in enumerate(values.tolist(), 1)]
    scale = html.Div([html.Span(f"{top:.2g}"), html.Span("0")], className="spectrum-scale")
    words = f"{len(values)} eigenvalues from {values.min():.3g} to {values.max():.3g}"
    return html.Div(
        [scale, html.Div(bars, className="spectrum-bars")],
        className="spectrum",
        role="img",
        **{"aria-label": words + (f", gap after {gap}" if gap else "")},
    )


def _bar(number: int, value: float, top: float, gap: int | None) -> html.Div:
    height = f"{100 * min(max(value / top, 0.0), 1.0):.2f}%"
    names = ["eigenvalue"]
    names += ["numbered"] if number % NUMBERED == 0 else []
    names += ["before-gap"] if gap and number <= gap else []
    names += ["last-before-gap"] if number == gap else []
    return html.Div(
        html.Div(style={"height": height}),
        className=" ".join(names),
        title=f"λ{number} = {value:.4g}",
        **{"data-number": str(number)},
    )


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the spectrum."""
    return [PanelSpec("spectrum", Spectrum, slot="side", order=10)]
