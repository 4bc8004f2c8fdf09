"""Cluster cards: what each cluster looks like and how the model does on it; two of them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Callbacks, Panel, PanelContext, image_url, selection
from backlight.plugins.viewers.palette import cluster_colour, cluster_name
from backlight.plugins.viewers.summary import Summary, picture, summarise

MOST = 24
EMPTY = "This class has no clusterings, so there are no cards."
FIGURES = (
    ("purity", "Purity", "Share of the most frequent prediction"),
    ("accuracy", "Accuracy", "Share predicted as labelled"),
    ("confidence", "Confidence", "Mean probability of the prediction"),
    ("training", "Training", "Share from the training split"),
)


@final
@dataclass(frozen=True)
class Cards(Panel):
    """A card for each cluster: mean heatmap, typical and odd samples, purity, accuracy; compares two."""

    title: ClassVar[str] = "Cluster cards"

    def layout(self, context: PanelContext) -> Any:
        """Return the heading, the place of a comparison and the place of the cards."""
        hint = html.Span("Compare two with ⇄", id=context.id("hint"), className="quiet grow")
        head = html.Div([html.H2("Cluster cards"), hint], className="panel-head")
        picked = dcc.Store(id=context.id("picked"), data=[])
        against = html.Div(id=context.id("against"))
        cards = dcc.Loading(html.Div(id=context.id("cards"), className="cards"), delay_show=500)
        return html.Div([picked, head, against, cards])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Fill the cards while they are in front; select a cluster's samples; compare two."""
        place = [context.store(store) for store in ("project", "analysis", "category", "clustering")]

        @callback(
            Output(context.id("cards"), "children"),
            *[Input(store, "data") for store in place],
            Input(context.store("colour"), "data"),
            Input(context.store("shown"), "data"),
        )
        def fill(
            project: str,
            analysis: str,
            category: str,
            clustering: str | None,
            colour: dict[str, str],
            shown: str,
        ) -> Any:
            if shown != context.name:
                return no_update
            found = _summaries(context, project, analysis, category, clustering)
            if not found:
                return html.P(EMPTY, className="empty")
            rest = html.P(f"{len(found) - MOST} more clusters are not shown.", className="quiet")
            return [_card(context, project, s, colour["cmap"]) for s in found[:MOST]] + (
                [rest] if len(found) > MOST else []
            )

        @callback(
            Output(context.store("selection"), "data"),
            Input(context.item("choose", ALL), "n_clicks"),
            *[State(store, "data") for store in place],
        )
        def choose(
            clicks: list[int | None], project: str, analysis: str, category: str, clustering: str
        ) -> Any:
            if not ctx.triggered_id or not ctx.triggered[0]["value"]:
                return no_update
            cluster, found = ctx.triggered_id["index"], context.category(project, analysis, category)
            scope = (project, analysis, found.id)
            return selection(scope, found.members(clustering, cluster), cluster_name(cluster))

        @callback(
            Output(context.id("picked"), "data"),
            Input(context.item("pick", ALL), "n_clicks"),
            *[Input(store, "data") for store in place],
            State(context.id("picked"), "data"),
            prevent_initial_call=True,
        )
        def pick(clicks: list[int | None], *rest: Any) -> Any:
            if not isinstance(ctx.triggered_id, dict):
                return []
            if not ctx.triggered[0]["value"]:
                return no_update
            cluster, picked = ctx.triggered_id["index"], rest[-1] or []
            return [c for c in picked if c != cluster] if cluster in picked else [*picked, cluster][-2:]

        @callback(
            Output(context.id("against"), "children"),
            Output(context.item("pick", ALL), "aria-pressed"),
            Input(context.id("picked"), "data"),
            Input(context.store("colour"), "data"),
            State(context.item("pick", ALL), "id"),
            *[State(store, "data") for store in place],
        )
        def compare(picked: list[int], colour: dict[str, str], ids: list[dict[str, Any]], *place: str) -> Any:
            pressed = ["true" if item["index"] in picked else "false" for item in ids]
            if len(picked) < 2:
                return None, pressed
            both = [s for c in picked for s in _summaries(context, *place) if s.cluster == c]
            return (_comparison(*both, colour["cmap"]) if len(both) == 2 else None), pressed


def _summaries(
    context: PanelContext, project: str, analysis: str, category: str, clustering: str | None
) -> list[Summary]:
    if not category or not clustering:
        return []
    found = context.category(project, analysis, category)
    if clustering not in found.clusterings:
        return []
    return summarise(context.projects[project], found, clustering)


def _card(context: PanelContext, project: str, summary: Summary, cmap: str) -> html.Article:
    choose = html.Button(
        _name(summary),
        id=context.item("choose", summary.cluster),
        className="link",
        title="Select its samples",
    )
    pick = html.Button(
        "⇄",
        id=context.item("pick", summary.cluster),
        className="btn btn-sm",
        title="Compare with another cluster",
    )
    mean = _mean(summary, cmap)
    rows = [
        html.Div([html.Span(word), _strip(project, indices)], className="strip-row")
        for word, indices in (("typical", summary.medoids), ("odd", summary.outliers))
        if indices
    ]
    return html.Article(
        [
            html.Header(
                [choose, html.Span(f"{summary.size:,} · {summary.share:.0%}", className="quiet grow"), pick]
            ),
            html.Div([mean, _figures(summary)], className="card-body-row"),
            *rows,
        ],
        className="cluster-card",
    )


def _name(summary: Summary) -> list[Any]:
    swatch = html.Span(className="swatch", style={"backgroundColor": cluster_colour(summary.cluster)})
    return [swatch, cluster_name(summary.cluster).capitalize()]


def _mean(summary: Summary, cmap: str) -> Any:
    if summary.mean is None:
        return html.Div("no mean heatmap", className="mean quiet")
    name = cluster_name(summary.cluster)
    return html.Img(src=picture(summary.mean, cmap), alt=f"mean heatmap of {name}", className="mean")


def _strip(project: str, indices: tuple[int, ...]) -> html.Div:
    pictures = [html.Img(src=image_url(project, i), alt=f"sample {i}", title=f"sample {i}") for i in indices]
    return html.Div(pictures, className="strip")


def _figures(summary: Summary) -> html.Dl:
    listed: list[Any] = []
    for key, word, title in FIGURES:
        value = getattr(summary, key)
        if value is not None:
            listed += [html.Dt(word, title=title), html.Dd(f"{value:.0%}", className="number")]
    if summary.majority is not None:
        listed += [html.Dt("Mostly"), html.Dd(summary.majority)]
    return html.Dl(listed, className="figures")


def _comparison(first: Summary, second: Summary, cmap: str) -> html.Div:
    columns = [
        html.Div(
            [html.Div(_name(s), className="name-line"), _mean(s, cmap), _figures(s)],
            className="versus-column",
        )
        for s in (first, second)
    ]
    middle = html.Div(html.P("no difference to show", className="quiet"), className="versus-column")
    if first.mean is not None and second.mean is not None and first.mean.shape == second.mean.shape:
        image = html.Img(
            src=picture(first.mean - second.mean, cmap), alt="difference of means", className="mean"
        )
        middle = html.Div(
            [html.Div("difference of means", className="name-line"), image], className="versus-column"
        )
    return html.Div([columns[0], middle, columns[1]], className="versus", role="region")


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the cluster cards."""
    return [PanelSpec("cards", Cards, slot="bottom", order=20)]
