"""Focus: where relevance lies, as shares of Σ|R| on the border, in the corners and at the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class Focus(Processor):
    """Say where clusters look: relevance (N, C, H, W), labels (N,) -> one value per cluster, noise excluded.

    `border_share`, `corner_share` and `centre_share` are mean shares of absolute relevance in the frame that
    is `margin` of the height and width deep, in its four corners, and in the middle half of either side.
    A network that looks at its object mostly looks at the centre.

    margin: depth of the frame, in (0, 0.5).
    """

    margin: float = 0.15

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("border_share", "corner_share", "centre_share", "cluster")

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise RequestError(f"focus: margin is {self.margin}, expected in (0, 0.5)")

    def __call__(self, *, relevance: Array, labels: Array) -> dict[str, Array]:
        """Return the shares."""
        cluster = np.unique(labels[labels >= 0]).astype(np.int32)
        strength = np.abs(np.asarray(relevance, dtype=np.float64)).sum(axis=1)
        total = strength.sum(axis=(1, 2))
        outer = [self._outer(size) for size in strength.shape[1:]]
        inner = [_middle(size) for size in strength.shape[1:]]
        masks = {
            "border_share": outer[0][:, None] | outer[1],
            "corner_share": outer[0][:, None] & outer[1],
            "centre_share": inner[0][:, None] & inner[1],
        }
        found: dict[str, Array] = {"cluster": cluster}
        for name, mask in masks.items():
            inside = strength[:, mask].sum(axis=1)
            shares = np.divide(inside, total, out=np.zeros_like(total), where=total > 0)
            found[name] = np.array([shares[labels == c].mean() for c in cluster])
        return found

    def _outer(self, size: int) -> NDArray[np.bool_]:
        depth = max(1, round(self.margin * size))
        place = np.arange(size)
        return (place < depth) | (place >= size - depth)


def _middle(size: int) -> NDArray[np.bool_]:
    place = np.arange(size)
    return (place >= size // 4) & (place < size - size // 4)


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the focus of clusters."""
    return [ProcessorSpec("focus", Focus)]
