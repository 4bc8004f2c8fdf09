"""The panel contract: a region of the explorer that talks to the others through shared stores only.

What the shared stores hold (None until something is chosen):

project, analysis, clustering: a name. category: a category id. A clustering that is written once more,
unchanged, means that its clusters were renamed, merged or hidden: whatever shows them shows them anew.
embedding: {"name", "x", "y"}; x and y count display components, see `Embedding.component`.
colour: how pictures and points are coloured; keys and values as in `COLOUR_CHOICES`.
selection: what `selection` returns. sample: a dataset index, looked at in the large view.
view: what a map shows, {"scope", "embedding", "range", "contours"}: which part, [x0, x1, y0, y1] or None for
all, of which embedding, and whether with lines of equal density.
placed: a picture to be marked on the maps of a class, {"scope", "label", "indices", "weights"}: its place is
the mean of the samples' places, weighted; both are typed arrays.
shown: the name of the panel in front in the slot "bottom", where one is shown at a time.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backlight.core.errors import RequestError, unknown
from backlight.core.pictures.heatmap import COLOUR_MAPS, SCALINGS

if TYPE_CHECKING:
    from backlight.core.project import Category, Project
    from backlight.core.projects.live import Live

Store = Literal[
    "project",
    "analysis",
    "category",
    "clustering",
    "embedding",
    "colour",
    "selection",
    "sample",
    "view",
    "placed",
    "shown",
]
STORES: tuple[Store, ...] = get_args(Store)
SCOPE: tuple[Store, ...] = ("project", "analysis", "category")
"""The stores that say which class is looked at."""

PLACE: tuple[Store, ...] = (*SCOPE, "clustering")
"""And which of its clusterings."""

Mode = Literal["input", "attribution", "overlay"]
MODES: tuple[Mode, ...] = get_args(Mode)
SAMPLINGS = ("auto", "pixelated", "smooth")
COLOUR_DEFAULTS: dict[str, str] = {
    "mode": "overlay",
    "cmap": "coldnhot",
    "scaling": "image",
    "sampling": "auto",
    "by": "cluster",
}
COLOUR_CHOICES: dict[str, tuple[str, ...] | None] = {
    "mode": MODES,
    "cmap": tuple(COLOUR_MAPS),
    "scaling": SCALINGS,
    "sampling": SAMPLINGS,
    "by": None,
}
"""What each key of the store `colour` may be.

mode, cmap, scaling, sampling: of pictures.
by: what points are coloured by, "cluster", "label" … or "tag:NAME"; any text, since projects bring their own.
"""
MOST_BITS = 1 << 24
"""Indices are told as bits where they reach over at most so many samples."""

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4")


class Callbacks(Protocol):
    """How a panel registers its callbacks: called, it takes what `dash.callback` takes.

    Inputs, states and outputs are the panel's own components and the shared stores; anything else raises.
    A callback that writes a shared store does not run on page load.
    """

    def __call__(
        self, *dependencies: Any, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a Python callback."""

    def clientside(self, source: str, *dependencies: Any, **options: Any) -> None:
        """Register a callback that runs in the browser; `source` is a JavaScript function expression."""

    def script(self, source: str) -> None:
        """Run JavaScript once as the page opens, before any callback; the same source runs once."""

    def data(self, name: str, function: Callable[..., Any]) -> None:
        """Serve what `function` returns, as JSON, to the panel's own scripts.

        In the browser `await backlight.ask(panel, name, ...args)` calls it. Faster than a callback for what a
        script draws itself: Dash hands a callback's answer on only after all that it has to do before.
        """


@dataclass(frozen=True)
class PanelContext:
    """What a panel may know: the open projects, its own id namespace, the ids of the shared stores.

    name: the panel's public name; every component id the panel makes comes from `id` or `item`.
    projects: by name, opened read-only.
    live: models that explain single pictures, by project; empty unless the explorer was given some.
    """

    name: str
    projects: dict[str, Project]
    live: Mapping[str, Live] = field(default_factory=dict)

    def id(self, part: str) -> str:
        """Return the component id of one part of this panel."""
        return f"{self.name}--{part}"

    def item(self, part: str, index: Any) -> dict[str, Any]:
        """Return the id of one of many alike components; `index` may be dash.ALL or dash.MATCH."""
        return {"type": self.id(part), "index": index}

    def owns(self, component_id: Any) -> bool:
        """Return whether `id` or `item` could have made this id."""
        name = component_id.get("type") if isinstance(component_id, dict) else component_id
        return isinstance(name, str) and name.startswith(self.id(""))

    def store(self, store: Store) -> str:
        """Return the component id of a shared dcc.Store."""
        if store not in STORES:
            raise KeyError(f"no shared store {store!r}; there are {', '.join(STORES)}")
        return f"store--{store}"

    def category(self, project: str, analysis: str, category: str) -> Category:
        """Return the category that the stores project, analysis and category point to."""
        if project not in self.projects:
            raise RequestError(unknown("project", project, self.projects))
        return self.projects[project].analysis(analysis).category(category)


class Panel(ABC):
    """One panel: a final frozen dataclass whose state lives in the browser, never on the panel."""

    title: ClassVar[str]

    @abstractmethod
    def layout(self, context: PanelContext) -> Any:
        """Return the panel's Dash component, built from its own ids, before any data is chosen."""

    @abstractmethod
    def callbacks(self, callback: Callbacks, context: PanelContext) -> None:
        """Register the panel's callbacks through `callback`.

        A panel takes effect whole: when this raises, none of its callbacks is registered.
        """


def selection(scope: Sequence[str], indices: ArrayLike, label: str) -> dict[str, Any]:
    """Return the value of the store `selection`.

    scope: (project, analysis, category) the samples were selected in; a selection of another scope is void.
    indices: dataset indices, kept as `typed_indices`, which the page hands around much faster than a list.
    label: what was selected, for people, such as "cluster 3".
    """
    chosen = np.asarray(indices, dtype=np.int64)
    return {"scope": list(scope), "indices": typed_indices(chosen), "label": label}


def selected(selection: dict[str, Any] | None) -> NDArray[np.int64]:
    """Return the dataset indices of a value of the store `selection`, (n,) int64."""
    return np.zeros(0, np.int64) if selection is None else from_typed(selection["indices"]).astype(np.int64)


def check_colour(colour: dict[str, Any]) -> dict[str, str]:
    """Return a value of the store `colour` with defaults filled in; raise RequestError for what cannot be."""
    for key, value in colour.items():
        if key not in COLOUR_CHOICES:
            raise RequestError(f"'colour' has {unknown('key', key, COLOUR_CHOICES)}")
        choices = COLOUR_CHOICES[key]
        if not isinstance(value, str) or len(value) > 200 or (choices is not None and value not in choices):
            raise RequestError(f"'colour.{key}': {unknown('value', str(value)[:200], choices or ())}")
    return COLOUR_DEFAULTS | colour


def image_url(
    project: str,
    index: int,
    mode: Mode = "input",
    cmap: str = "coldnhot",
    scaling: str = "image",
    channel: int | None = None,
) -> str:
    """Return the address of a sample's picture; the explorer serves a lossless PNG there.

    channel: whose relevance alone is shown, as strong as in the strongest channel of the sample.
    """
    query: dict[str, str] = {"mode": mode} if mode == "input" else {"mode": mode, "cmap": cmap}
    if mode != "input" and scaling != "image":
        query["scaling"] = scaling
    if mode != "input" and channel is not None:
        query["channel"] = str(channel)
    return f"/image/{quote(project, safe='')}/{index}.png?{urlencode(query)}"


def mean_url(
    scope: Sequence[str], clustering: str, cluster: int, cmap: str = "coldnhot", minus: int | None = None
) -> str:
    """Return the address of a cluster's mean heatmap, as people merged clusters.

    scope: (project, analysis, category). minus: a cluster whose mean is taken away from it.
    """
    project, analysis, category = scope
    query = {"analysis": analysis, "category": category, "clustering": clustering, "cluster": str(cluster)}
    query |= {"cmap": cmap} | ({} if minus is None else {"minus": str(minus)})
    return f"/mean/{quote(project, safe='')}.png?{urlencode(query)}"


def typed_array(array: NDArray[Any]) -> dict[str, Any]:
    """Return a numeric array as plotly.js's compact form {dtype, bdata}; JavaScript: `backlight.array`.

    array: (n,) numbers. Floats become float32, integers the narrowest type that holds all; plotly.js knows
    no 64-bit integers, so larger ones become float64.
    """
    if array.dtype.kind == "f":
        narrow = array.astype(np.float32)
    else:
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        narrow = array.astype(next((t for t in INTEGERS if _holds(t, low, high)), "f8"))
    little = narrow.astype(narrow.dtype.newbyteorder("<"))
    code = f"{narrow.dtype.kind}{narrow.dtype.itemsize}"
    return {"dtype": code, "bdata": base64.b64encode(little.tobytes()).decode("ascii")}


def typed_indices(indices: NDArray[Any]) -> dict[str, Any]:
    """Return dataset indices as `typed_array` does or, where they ascend and it is shorter, as bits.

    indices: (n,) whole numbers >= 0. Bits are {"dtype": "bits", "first", "bdata"}: one for each number from
    `first` on, lowest first, set where the number is held. A whole class of a million takes 170 kB of text.
    """
    sent = typed_array(indices)
    if not len(indices) or (np.diff(indices) <= 0).any():
        return sent
    reach = int(indices[-1]) - int(indices[0]) + 1
    if reach > min(8 * len(indices) * np.dtype(sent["dtype"]).itemsize, MOST_BITS):
        return sent
    held = np.zeros(reach, dtype=np.uint8)
    held[indices - indices[0]] = 1
    text = base64.b64encode(np.packbits(held, bitorder="little").tobytes()).decode("ascii")
    return {"dtype": "bits", "first": int(indices[0]), "bdata": text}


def from_typed(sent: dict[str, Any]) -> NDArray[Any]:
    """Return the array behind what `typed_array` or `typed_indices` made, here or in the browser."""
    if sent["dtype"] == "bits":
        data = base64.b64decode(sent["bdata"])
        if 8 * len(data) > MOST_BITS + 7:
            raise RequestError(f"a selection reaches over more than {MOST_BITS:,} samples")
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return np.flatnonzero(bits) + int(sent["first"])
    if sent["dtype"] not in (*INTEGERS, "f4", "f8"):
        raise RequestError(unknown("array type", sent["dtype"], INTEGERS))
    return np.frombuffer(base64.b64decode(sent["bdata"]), "<" + sent["dtype"])


def from_address(address: Any) -> bytes:
    """Return the bytes behind a data address, as which the browser sends files; RequestError for none."""
    try:
        return base64.b64decode(str(address).partition(",")[2], validate=True)
    except ValueError as error:
        raise RequestError(f"the upload is damaged ({error})") from error


def _holds(dtype: str, low: int, high: int) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= low and high <= info.max)
