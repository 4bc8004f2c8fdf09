"""Graph -> symmetric normalised Laplacian L = I − D^-½ A D^-½ (von Luxburg 2007, section 3.2).

A node without edges is a component of its own: its row and column of L are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage


@final
@dataclass(frozen=True)
class Laplacian(Processor):
    """Normalise by degrees: affinity (N, N) -> laplacian (N, N) sparse CSR float64, degree (N,) float64."""

    stage: ClassVar[Stage] = "laplacian"
    yields: ClassVar[tuple[str, ...]] = ("laplacian", "degree")

    def __call__(self, *, affinity: sp.csr_array) -> dict[str, Any]:
        """Return the Laplacian and the degrees it was normalised by."""
        if affinity.shape[0] == 0:
            return {"laplacian": sp.csr_array((0, 0)), "degree": np.zeros(0)}
        laplacian = sp.csr_array(csgraph.laplacian(affinity, normed=True))
        laplacian.sort_indices()
        return {"laplacian": laplacian, "degree": np.asarray(affinity.sum(axis=1)).ravel()}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the normalised Laplacian."""
    return [ProcessorSpec("laplacian", Laplacian, cite="vonluxburg2007")]
