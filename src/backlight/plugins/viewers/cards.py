"""Cluster cards: what each cluster looks like and how the model does on it; two of them side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import dash_bootstrap_components as dbc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from backlight.core.errors import BacklightError, RequestError
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import PLACE, Callbacks, Panel, PanelContext, image_url, mean_url, selection
from backlight.core.projects.curation import Curation
from backlight.core.projects.events import NAME_LENGTH
from backlight.plugins.viewers.controls import button, clicked, swatch
from backlight.plugins.viewers.stepping import step, steps
from backlight.plugins.viewers.summary import Summary, summarise

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
        hint = html.Span(
            "Compare two with ⇄, rename, merge or hide with ⋯", id=context.id("hint"), className="quiet"
        )
        said = html.Span(id=context.id("said"), className="quiet grow", role="status")
        hidden = html.Div(id=context.id("hidden"), className="hidden-clusters")
        taken = html.Div(id=context.id("steps"), className="steps-back")
        head = html.Div([html.H2("Cluster cards"), hint, said, hidden, taken], className="panel-head")
        picked = dcc.Store(id=context.id("picked"), data=[])
        against = html.Div(id=context.id("against"))
        cards = html.Div(id=context.id("cards"), className="cards")
        return html.Div([picked, head, against, cards])

    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Fill the cards while they are in front; select the samples of one; curate; compare two."""
        self._fill(callback, context)
        self._choose(callback, context)
        self._curate(callback, context)
        self._compare(callback, context)

    def _fill(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("cards"), "children"),
            Output(context.id("hidden"), "children"),
            Output(context.id("steps"), "children"),
            *[Input(context.store(store), "data") for store in (*PLACE, "colour", "shown")],
        )
        def fill(*values: Any) -> Any:
            *place, colour, shown = values
            if shown != context.name:
                return (no_update,) * 3
            if not all(place[2:]):
                return html.P(EMPTY, className="empty"), None, None
            found, head = _summaries(context, *place), _curated(context, tuple(place))
            if not found:
                return html.P("All clusters are hidden." if head[0] else EMPTY, className="empty"), *head
            more = len(found) - MOST
            rest = html.P(
                f"{more} more cluster{' is' if more == 1 else 's are'} not shown.", className="quiet"
            )
            others = [(s.cluster, s.name) for s in found if s.cluster >= 0]
            cards: list[Any] = [_card(context, tuple(place), s, colour["cmap"], others) for s in found[:MOST]]
            return [*cards, *([rest] if len(found) > MOST else [])], *head

    def _choose(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.store("selection"), "data"),
            Input(context.item("choose", ALL), "n_clicks"),
            *[State(context.store(store), "data") for store in PLACE],
        )
        def choose(
            clicks: list[int | None], project: str, analysis: str, category: str, clustering: str
        ) -> Any:
            if not clicked():
                return no_update
            cluster, found = ctx.triggered_id["index"], context.category(project, analysis, category)
            opened = context.projects[project]
            name = opened.curation(found, clustering).name(cluster)
            return selection((project, analysis, found.id), opened.members(found, clustering, cluster), name)

    def _compare(self, callback: Callbacks, context: PanelContext) -> None:
        @callback(
            Output(context.id("picked"), "data"),
            Input(context.item("pick", ALL), "n_clicks"),
            *[Input(context.store(store), "data") for store in PLACE],
            State(context.id("picked"), "data"),
            prevent_initial_call=True,
        )
        def pick(clicks: list[int | None], *rest: Any) -> Any:
            if not isinstance(ctx.triggered_id, dict):
                return []
            if not clicked():
                return no_update
            cluster, picked = ctx.triggered_id["index"], rest[-1] or []
            return [c for c in picked if c != cluster] if cluster in picked else [*picked, cluster][-2:]

        @callback(
            Output(context.id("against"), "children"),
            Output(context.item("pick", ALL), "aria-pressed"),
            Input(context.id("picked"), "data"),
            Input(context.store("colour"), "data"),
            State(context.item("pick", ALL), "id"),
            *[State(context.store(store), "data") for store in PLACE],
        )
        def compare(picked: list[int], colour: dict[str, str], ids: list[dict[str, Any]], *place: str) -> Any:
            pressed = ["true" if item["index"] in picked else "false" for item in ids]
            if len(picked) < 2:
                return None, pressed
            both = [s for c in picked for s in _summaries(context, *place) if s.cluster == c]
            return (_comparison(place, *both, colour["cmap"]) if len(both) == 2 else None), pressed

    def _curate(self, callback: Callbacks, context: PanelContext) -> None:
        acts = ("rename", "merge", "hide", "show")

        @callback(
            Output(context.store("clustering"), "data"),
            Output(context.id("said"), "children"),
            *[Input(context.item(act, ALL), "n_clicks") for act in acts],
            Input(context.item("step", ALL), "n_clicks"),
            State(context.item("name", ALL), "id"),
            State(context.item("name", ALL), "value"),
            State(context.item("into", ALL), "value"),
            *[State(context.store(store), "data") for store in PLACE],
        )
        def curate(*values: Any) -> Any:
            ids, names, others, *place = values[len(acts) + 1 :]
            if not clicked() or not all(place):
                return no_update, no_update
            try:
                act = ctx.triggered_id["type"].removeprefix(context.id(""))
                if act == "step":
                    return place[3], step(context.projects[place[0]].annotations, ctx.triggered_id["index"])
                cluster = int(ctx.triggered_id["index"])
                row = next((k for k, item in enumerate(ids) if item["index"] == cluster), None)
                given = (None, None) if row is None else (names[row], others[row])
                return place[3], _change(context, tuple(place), act, cluster, *given)
            except BacklightError as error:
                return no_update, str(error)


def _change(
    context: PanelContext, place: tuple[str, ...], act: str, cluster: int, name: Any, into: Any
) -> str:
    """Note what a person made of a cluster, and say what it was."""
    project, category = context.projects[place[0]], context.category(*place[:3])
    known = {-1, *category.clusters(place[3]).tolist()}
    if cluster not in known:
        raise RequestError(f"{place[3]} has no cluster {cluster}")
    clusters, text = [cluster], ""
    curation = project.curation(category, place[3])
    was = curation.name(cluster)
    if act == "rename":
        own = Curation().name(cluster)
        text = str(name or "").strip()
        text = "" if text == own else text
        said = f"{was} is called {text or own} now"
    elif act == "merge":
        if not str(into or "").isdecimal() or int(into) not in known - {cluster}:
            raise RequestError("choose the cluster to merge into first")
        clusters.append(int(into))
        said = f"{was} is part of {curation.name(int(into))} now"
    else:
        said = f"{was} is {'hidden' if act == 'hide' else 'shown'} now"
    project.annotations.change_cluster(_key(context, place), act, clusters, text)
    return said


def _curated(context: PanelContext, place: tuple[str, ...]) -> tuple[Any, Any]:
    """Return buttons that show the hidden clusters, and those that undo and redo."""
    category = context.category(*place[:3])
    curation = context.projects[place[0]].curation(category, place[3])
    buttons = [
        button(f"Show {curation.name(c)}", context.item("show", c), "It is hidden")
        for c in sorted(curation.hidden)
    ]
    return buttons, steps(context, context.projects[place[0]].annotations, _key(context, place))


def _key(context: PanelContext, place: tuple[str, ...]) -> str:
    return f"{place[1]}/{context.category(*place[:3]).id}/{place[3]}"


def _summaries(
    context: PanelContext, project: str, analysis: str, category: str, clustering: str | None
) -> list[Summary]:
    if not category or not clustering:
        return []
    found = context.category(project, analysis, category)
    if clustering not in found.clusterings:
        return []
    return summarise(context.projects[project], found, clustering)


def _menu(context: PanelContext, summary: Summary, others: list[tuple[int, str]]) -> html.Details:
    """Return what people can make of a cluster: another name, a part of another one, nothing to be seen."""

    def item(part: str) -> dict[str, Any]:
        return context.item(part, summary.cluster)

    def act(part: str, text: str) -> html.Button:
        return button(text, item(part), f"{text} {summary.name}")

    name = dbc.Input(id=item("name"), value=summary.name, maxLength=NAME_LENGTH, size="sm")
    into = dbc.Select(
        id=item("into"),
        options=[{"value": str(c), "label": text} for c, text in others if c != summary.cluster],
        placeholder="another",
        size="sm",
    )
    rows = [
        html.Div([html.Label(["Name", name], className="grow"), act("rename", "Rename")]),
        html.Div([html.Label(["Merge into", into], className="grow"), act("merge", "Merge")]),
        act("hide", "Hide"),
    ]
    return html.Details(
        [
            html.Summary("⋯", title=f"Rename, merge or hide {summary.name}"),
            html.Div(rows, className="menu curate"),
        ],
        className="drop",
    )


def _card(
    context: PanelContext,
    place: tuple[str, ...],
    summary: Summary,
    cmap: str,
    others: list[tuple[int, str]],
) -> html.Article:
    choose = html.Button(
        _name(summary),
        id=context.item("choose", summary.cluster),
        className="link",
        title="Select its samples",
    )
    pick = button("⇄", context.item("pick", summary.cluster), "Compare with another cluster")
    size = html.Span(f"{summary.size:,} · {summary.share:.0%}", className="quiet grow")
    mean = _mean(place, summary, cmap)
    rows = [
        html.Div([html.Span(word), _strip(place[0], indices)], className="strip-row")
        for word, indices in (("typical", summary.medoids), ("odd", summary.outliers))
        if indices
    ]
    return html.Article(
        [
            html.Header([choose, size, pick, _menu(context, summary, others)]),
            html.Div([mean, _figures(summary)], className="card-body-row"),
            *rows,
        ],
        className="cluster-card",
    )


def _name(summary: Summary) -> list[Any]:
    return [swatch(summary.cluster), summary.name[0].upper() + summary.name[1:]]


def _mean(place: tuple[str, ...], summary: Summary, cmap: str, minus: Summary | None = None) -> html.Img:
    source = mean_url(place[:3], place[3], summary.cluster, cmap, None if minus is None else minus.cluster)
    what = f"mean heatmap of {summary.name}" if minus is None else "difference of means"
    return html.Img(src=source, alt=what, className="mean")


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


def _comparison(place: tuple[str, ...], first: Summary, second: Summary, cmap: str) -> html.Div:
    parts = [
        [html.Div(_name(first), className="name-line"), _mean(place, first, cmap), _figures(first)],
        [html.Div("difference of means", className="name-line"), _mean(place, first, cmap, second)],
        [html.Div(_name(second), className="name-line"), _mean(place, second, cmap), _figures(second)],
    ]
    columns = [html.Div(part, className="versus-column") for part in parts]
    return html.Div(columns, className="versus", role="region")


@hookimpl
def provide_panels() -> list[PanelSpec]:
    """Offer the cluster cards."""
    return [PanelSpec("cards", Cards, slot="bottom", order=20)]
