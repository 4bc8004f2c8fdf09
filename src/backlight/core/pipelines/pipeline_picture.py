"""A pipeline as an SVG picture: steps as boxes in columns by depth, arrows from what feeds them."""

from __future__ import annotations

from html import escape

from backlight.core.pipeline import Pipeline

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN, _HEAD = 168, 46, 56, 22, 20, 34
_COLOURS = {
    "preprocessing": "#dbe7f5",
    "neighbours": "#d5efe6",
    "affinity": "#d5efe6",
    "laplacian": "#d5efe6",
    "embedding": "#fbe9c6",
    "clustering": "#fadbc8",
    "score": "#efd9ea",
    "card": "#efd9ea",
}

_HEAD_OF_ARROWS = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7a8499"/></marker></defs>'
)


def picture(pipeline: Pipeline) -> str:
    """Return the graph of a pipeline's steps as SVG; inputs stand on the left."""
    feeds = _feeds(pipeline)
    columns = _columns(feeds)
    places = {
        name: (_MARGIN + x * (_WIDTH + _ACROSS), _HEAD + _MARGIN + y * (_HEIGHT + _DOWN))
        for x, column in enumerate(columns)
        for y, name in enumerate(column)
    }
    width = max(x for x, _ in places.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in places.values()) + _HEIGHT + _MARGIN
    arrows = [_arrow(places[source], places[name]) for name, sources in feeds.items() for source in sources]
    stages = {step.name: step.processor.stage for step in pipeline.steps}
    boxes = [_box(name, stages.get(name, "input"), *place) for name, place in places.items()]
    frame = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif">',
            _HEAD_OF_ARROWS,
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="{_MARGIN}" y="30" font-size="18" font-weight="600">{escape(pipeline.name)}</text>',
            *arrows,
            *boxes,
            "</svg>",
            "",
        ]
    )


def _feeds(pipeline: Pipeline) -> dict[str, list[str]]:
    """Return, for every step in order, the steps and inputs that feed it; inputs themselves come first."""
    bound = pipeline.bindings()
    steps = {
        name: list(dict.fromkeys(source.partition(".")[0] for source in ports.values()))
        for name, ports in bound.items()
    }
    inputs = dict.fromkeys(source for sources in steps.values() for source in sources if source not in steps)
    return {**{name: [] for name in inputs}, **steps}


def _columns(feeds: dict[str, list[str]]) -> list[list[str]]:
    """Return the names by depth, the length of the longest way from an input.

    Within a column, what is fed from further up stands further up.
    """
    depth: dict[str, int] = {}
    for name, sources in feeds.items():
        depth[name] = 1 + max((depth[source] for source in sources), default=-1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    rank: dict[str, float] = {}
    for column, names in enumerate(columns):
        names += [name for name in feeds if depth[name] == column]
        height = {
            name: sum(rank[source] for source in feeds[name]) / max(len(feeds[name]), 1) for name in names
        }
        names.sort(key=lambda name: height[name])
        rank |= {name: float(position) for position, name in enumerate(names)}
    return columns


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    x1, y1 = source[0] + _WIDTH, source[1] + _HEIGHT / 2
    x2, y2 = target[0], target[1] + _HEIGHT / 2
    bend = max(_ACROSS / 2, (x2 - x1) / 2)
    return (
        f'<path d="M{x1} {y1}C{x1 + bend:.0f} {y1} {x2 - bend:.0f} {y2} {x2} {y2}" '
        'fill="none" stroke="#7a8499" stroke-width="1.3" marker-end="url(#head)"/>'
    )


def _box(name: str, stage: str, x: int, y: int) -> str:
    fill, middle = _COLOURS.get(stage, "#ffffff"), x + _WIDTH / 2
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" stroke="#7a8499"/>'
        f'<text x="{middle}" y="{y + 20}" text-anchor="middle" font-size="14">{escape(_short(name))}</text>'
        f'<text x="{middle}" y="{y + 36}" text-anchor="middle" font-size="11" fill="#56607a">{stage}</text>'
    )


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
