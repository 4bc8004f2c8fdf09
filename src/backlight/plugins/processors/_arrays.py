"""Small helpers that clusterings share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def unit_rows(points: Array) -> Array:
    """Return the rows scaled to length 1; a zero row stays zero."""
    length = np.sqrt(np.square(points).sum(axis=1, keepdims=True))
    return np.divide(points, length, out=np.zeros_like(points), where=length > 0)


def largest_first(labels: Array) -> Array:
    """Return labels renumbered by falling cluster size, then first member; -1 stays noise. (N,) int32."""
    clusters, first, size = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    number = {int(clusters[c]): rank for rank, c in enumerate(np.lexsort((first, -size)))}
    return np.array([number.get(int(label), -1) for label in labels], dtype=np.int32)
