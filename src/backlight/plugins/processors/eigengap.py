"""Eigengap: clusters are as many as eigenvalues before the largest jump (von Luxburg 2007, section 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage


@final
@dataclass(frozen=True)
class Eigengap(Processor):
    """Count clusters by the largest gap: eigenvalues (m,) ascending -> eigengap, int; gap, its height.

    The gap follows eigenvalue number `eigengap` (from 1); with fewer than two eigenvalues it is their
    number, height 0.

    first: only the first so many eigenvalues are looked at (>= 2).
    """

    first: int = 32

    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("eigengap", "gap")

    def __post_init__(self) -> None:
        if self.first < 2:
            raise RequestError(f"eigengap: first is {self.first}, expected at least 2")

    def __call__(self, *, eigenvalues: NDArray[Any]) -> dict[str, int | float]:
        """Return the position and height of the largest gap."""
        gaps = np.diff(eigenvalues[: self.first])
        if not len(gaps):
            return {"eigengap": len(eigenvalues), "gap": 0.0}
        largest = int(np.argmax(gaps))
        return {"eigengap": largest + 1, "gap": float(gaps[largest])}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the eigengap."""
    return [ProcessorSpec("eigengap", Eigengap, cite="vonluxburg2007")]
