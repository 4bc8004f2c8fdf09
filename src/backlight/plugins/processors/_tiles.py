"""Nearest points by tiles of the symmetric distance matrix: one matrix product serves rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def nearest_in_tiles(
    points: Array, norms: Array, count: int, pairs: Iterable[tuple[slice, slice]]
) -> tuple[Array, Array]:
    """Return approximate squared distances, less the own norm, and indices of about the nearest, (n, count).

    norms: (n,) squared lengths of the points, or of what they are a part of: then the distances are those of
    points whose other parts are at right angles. pairs: rows and columns to compare, equal or disjoint, each
    once. Where fewer than `count` others were compared, the rest is infinite, with index -1.
    """
    n = len(points)
    halves = norms / 2
    values = np.full((n, count), np.inf, np.float32)
    index = np.full((n, count), -1, np.int32)
    near_first = sorted(pairs, key=_apart)  # a tight bound early spares merging later
    largest = max(((p.stop - p.start) * (q.stop - q.start) for p, q in near_first), default=0)
    buffers = np.empty((2, largest), np.float32)  # reused: fresh memory for every tile takes time
    for rows, columns in near_first:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        product, other = (buffer[: shape[0] * shape[1]].reshape(shape) for buffer in buffers)
        np.matmul(points[rows], points[columns].T, out=product)
        if rows == columns:
            np.fill_diagonal(product, -np.inf)
        else:
            np.subtract(halves[rows, None], product, out=other)
            _merge(values[columns], index[columns], other, rows.start, axis=0)
        np.subtract(halves[columns], product, out=product)
        _merge(values[rows], index[rows], product, columns.start, axis=1)
    values *= 2
    return values, index


def _apart(pair: tuple[slice, slice]) -> tuple[int, int]:
    return abs(pair[0].start - pair[1].start), pair[0].start


def _merge(values: Array, index: Array, found: Array, start: int, axis: int) -> None:
    """Keep, in place, the smallest of what each point has and what was found.

    axis: of `found` along which the candidates lie, the first of them number `start`.
    """
    worst = values.max(axis=1)
    near = np.flatnonzero(found < (worst[:, None] if axis else worst))
    if len(near) > found.size // 16:
        _combine(values, index, slice(None), *_smallest(found if axis else found.T, values.shape[1], start))
    elif len(near):
        point, candidate = np.divmod(near, found.shape[1])
        if not axis:
            order = np.argsort(candidate, kind="stable")
            near, point, candidate = near[order], candidate[order], point[order]
        _combine(values, index, *_padded(point, found.ravel()[near], candidate + start))


def _smallest(found: Array, count: int, start: int) -> tuple[Array, Array]:
    """Return the `count` smallest of every row and their numbers from `start`."""
    best = np.argpartition(found, min(count, found.shape[1]) - 1, axis=1)[:, :count]
    return np.take_along_axis(found, best, axis=1), best + start


def _padded(point: Array, value: Array, candidate: Array) -> tuple[Array, Array, Array]:
    """Return points, given by number in rising order, and a row of values and candidates for each."""
    first = np.flatnonzero(np.diff(point, prepend=-1))
    many = np.diff(first, append=len(point))
    row, slot = np.repeat(np.arange(len(first)), many), np.arange(len(point)) - np.repeat(first, many)
    values = np.full((len(first), int(many.max())), np.inf, np.float32)
    candidates = np.full(values.shape, -1, np.int32)
    values[row, slot], candidates[row, slot] = value, candidate
    return point[first], values, candidates


def _combine(values: Array, index: Array, points: Any, found: Array, candidates: Array) -> None:
    """Keep, in place, the smallest of what `points` have and what was found."""
    both, either = np.hstack([values[points], found]), np.hstack([index[points], candidates])
    kept = np.argpartition(both, values.shape[1] - 1, axis=1)[:, : values.shape[1]]
    values[points] = np.take_along_axis(both, kept, axis=1)
    index[points] = np.take_along_axis(either, kept, axis=1)
