"""Small helpers that clusterings share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import RequestError

Array = NDArray[Any]


def from_eigengap(what: str, value: int, eigengap: int | None) -> int:
    """Return `value`, or in the place of 0 the eigengap's, at least 2; RequestError where there is none."""
    if value:
        return value
    if eigengap is None:
        raise RequestError(f"{what} = 0 takes its number from an eigengap step, and there is none")
    return max(2, int(eigengap))


def leading(what: str, embedding: Array, dimensions: int, eigengap: int | None) -> Array:
    """Return the first `dimensions` coordinates; all for -1, as many as the eigengap says for 0."""
    if dimensions == -1:
        return embedding
    return embedding[:, : from_eigengap(f"{what}: dimensions", dimensions, eigengap)]


def unit_rows(points: Array) -> Array:
    """Return the rows scaled to length 1; a zero row stays zero."""
    length = np.sqrt(np.square(points).sum(axis=1, keepdims=True))
    return np.divide(points, length, out=np.zeros_like(points), where=length > 0)


def largest_first(labels: Array) -> Array:
    """Return labels renumbered by falling cluster size, then first member; -1 stays noise. (N,) int32."""
    clusters, first, size = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    number = {int(clusters[c]): rank for rank, c in enumerate(np.lexsort((first, -size)))}
    return np.array([number.get(int(label), -1) for label in labels], dtype=np.int32)
