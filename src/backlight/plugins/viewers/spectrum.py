"""The spectrum: Laplacian eigenvalues, ascending, with the eigengap that suggests a number of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from dash import Input, Output, dcc, html
from numpy.typing import NDArray

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext
from backlight.core.project import Category
from backlight.plugins.viewers.palette import ACCENT, AXIS, GRID


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
            *[Input(context.store(store), "data") for store in ("project", "analysis", "category")],
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
            graph = dcc.Graph(
                figure=figure(values, gap),
                config={"displayModeBar": False, "responsive": True},
                className="spectrum",
            )
            return (f"gap after {gap}" if gap else ""), graph


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


def figure(values: NDArray[np.float64], gap: int | None) -> dict[str, Any]:
    """Return the chart: one bar per eigenvalue, those before the gap in the accent colour."""
    number = list(range(1, len(values) + 1))
    axis = {"color": AXIS, "gridcolor": GRID, "zeroline": False, "tickfont": {"size": 11}, "fixedrange": True}
    bars = {
        "type": "bar",
        "x": number,
        "y": values.round(6).tolist(),
        "marker": {"color": [ACCENT if gap and k <= gap else "#9db0c4" for k in number]},
        "hovertemplate": "λ<sub>%{x}</sub> = %{y:.4f}<extra></extra>",
    }
    layout = {
        "margin": {"l": 36, "r": 8, "t": 4, "b": 24},
        "height": 112,
        "bargap": 0.3,
        "xaxis": {**axis, "showgrid": False, "nticks": 8, "title": None},
        "yaxis": {**axis, "nticks": 4, "rangemode": "tozero"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "shapes": [_line(gap + 0.5)] if gap else [],
        "font": {"family": "system-ui, sans-serif"},
    }
    return {"data": [bars], "layout": layout}


def _line(x: float) -> dict[str, Any]:
    line = {"color": ACCENT, "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the spectrum."""
    return [PanelSpec("spectrum", Spectrum, slot="side", order=10)]
