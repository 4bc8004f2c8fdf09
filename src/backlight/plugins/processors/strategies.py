"""Strategies: the normalised cut, over several scales, that isolates what only some of a class's maps show.

A shortcut taken for half of a class is the first cut of the graph, one taken for a twentieth of it comes
after the class's own variety. So the graph is cut into 2, 3, … parts (k-means on as many row-normalised
eigenvectors, Ng et al. 2001), every part is a candidate, and the one with the largest contrast
(contrast.py) to the rest of the class is the core. It is pure, but a cut follows strength as well as kind:
it holds the maps that show the strategy most. So it gives way to the largest part around it that adds
nothing but more of the same, and from there the strategy grows over all maps that show it (_growing.py).
The result has two clusters for every class, which makes tau comparable between classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._growing import grown, template
from backlight.plugins.processors.contrast import effects
from backlight.plugins.processors.kmeans import KMeans

Array = NDArray[Any]
Mask = NDArray[np.bool_]

_NONE = 1e-3  # contrast of maps that differ by rounding only
_HOLDS = 0.9  # of the core: restarts of k-means give and take a few


@final
@dataclass(frozen=True)
class Strategies(Processor):
    """Split a class: features (N, D), embedding (N, m) -> labels (N,) int32, 1 = odd strategy, 0 = the rest.

    All are 0 where there are too few samples for two parts. `scale` is the number of parts of the cut it
    was found in.

    finest: most parts the graph is cut into (>= 2).
    smallest: least share of the samples that may be a strategy of their own, in (0, 0.5].
    certainty: what a map's share of the strategy's density must reach to join the core, in [0.5, 1).
    rounds: times that the strategy grows, each from the last (>= 0; 0 keeps the cut).
    starts: k-means restarts per scale, of which the best is kept.
    seed: of the starts; None takes the run's.
    """

    finest: int = 8
    smallest: float = 0.02
    certainty: float = 0.9
    rounds: int = 2
    starts: int = 5
    seed: int | None = None

    stage: ClassVar[Stage] = "clustering"
    yields: ClassVar[tuple[str, ...]] = ("labels", "scale")

    def __post_init__(self) -> None:
        if self.finest < 2 or not 0 < self.smallest <= 0.5 or self.starts < 1:
            raise RequestError(f"{self}: expected finest >= 2, smallest in (0, 0.5] and starts >= 1")
        if not 0.5 <= self.certainty < 1 or self.rounds < 0:
            raise RequestError(f"{self}: expected certainty in [0.5, 1) and rounds >= 0")

    def __call__(self, *, features: Array, embedding: Array) -> dict[str, Any]:
        """Return the part with the largest contrast over all scales, grown."""
        n = len(embedding)
        least = max(4, int(np.ceil(self.smallest * n)))
        scales, parts = self._parts(embedding, least)
        undivided = {"labels": np.zeros(n, np.int32), "scale": 1}
        if not scales:
            return undivided
        contrast = effects(features, parts)
        highest = contrast.max(axis=1)
        if highest.max() < _NONE:
            return undivided
        # A finer cut that leaves a part as it was changes its contrast by rounding only: the coarsest counts.
        core = int(np.argmax(highest >= highest.max() * (1 - 1e-6)))
        widest = _widest(features, parts, core, contrast[core], least)
        inside = parts[:, widest] | parts[:, core]
        for _ in range(self.rounds):
            inside = grown(features, inside, self.certainty, least)
        return {"labels": inside.astype(np.int32), "scale": scales[widest]}

    def _parts(self, embedding: Array, least: int) -> tuple[list[int], Mask]:
        """Return every part that is neither too small nor too large, (N, parts), and the scale of its cut."""
        scales: list[int] = []
        parts: list[Mask] = []
        for scale in range(2, min(self.finest, embedding.shape[1]) + 1):
            cut = KMeans(scale, starts=self.starts, seed=self.seed)(embedding=embedding)["labels"]
            for inside in (cut == part for part in np.unique(cut)):
                if least <= inside.sum() <= len(cut) - least:
                    scales.append(scale)
                    parts.append(inside)
        return scales, np.stack(parts, axis=1) if parts else np.zeros((len(embedding), 0), np.bool_)


def _widest(features: Array, parts: Mask, core: int, contrast: Array, least: int) -> int:
    """Return the largest part around the core whose other maps show most what the core does.

    parts: (N, parts), core: the number of one, contrast: (D,) of it. To compare what a part adds with what
    it leaves out, the core itself is left aside: its strength would hide that the rest has another kind.
    """
    inside = parts[:, core]
    added = parts & ~inside[:, None]
    holds = (parts & inside[:, None]).sum(axis=0) >= _HOLDS * inside.sum()
    more, left = added.sum(axis=0), len(parts) - (parts | inside[:, None]).sum(axis=0)
    around = np.flatnonzero(holds & (more >= least) & (left >= least))
    if not len(around):
        return core
    shown = effects(features[~inside], added[~inside][:, around]).argmax(axis=1)
    same = around[np.isin(shown, template(contrast))]
    return int(max(same, key=lambda part: parts[:, part].sum(), default=core))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the search for a strategy of its own."""
    return [ProcessorSpec("strategies", Strategies)]
