"""Nearest points by tiles of the symmetric distance matrix: one matrix product serves rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.core.threads import shared

Array = NDArray[Any]

_WIDTH = 2048  # of points that chosen ones are compared with at a time


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
    for rows, columns, product in shared(partial(_multiplied, points, points), near_first):
        if rows == columns:
            np.fill_diagonal(product, -np.inf)
        else:
            _merge(values[columns], index[columns], halves[rows, None] - product, rows.start, axis=0)
        np.subtract(halves[columns], product, out=product)
        _merge(values[rows], index[rows], product, columns.start, axis=1)
    values *= 2
    return values, index


def _apart(pair: tuple[slice, slice]) -> tuple[int, int]:
    return abs(pair[0].start - pair[1].start), pair[0].start


def nearest_of(chosen: Array, points: Array, norms: Array, count: int) -> Array:
    """Return the indices of about the nearest others of the chosen points, nearest first, (c, count).

    chosen: (c,) indices. norms: as `nearest_in_tiles` takes them.
    """
    values = np.full((len(chosen), count), np.inf, np.float32)
    index = np.full((len(chosen), count), -1, np.int32)
    every = slice(0, len(chosen))
    parts = [(every, slice(start, start + _WIDTH)) for start in range(0, len(points), _WIDTH)]
    for _, part, product in shared(partial(_multiplied, points[chosen], points), parts):
        own = np.flatnonzero((chosen >= part.start) & (chosen < part.stop))
        product[own, chosen[own] - part.start] = -np.inf
        _merge(values, index, norms[part] / 2 - product, part.start, axis=1)
    return np.take_along_axis(index, values.argsort(axis=1), axis=1)


def _multiplied(left: Array, right: Array, pair: tuple[slice, slice]) -> tuple[slice, slice, Array]:
    rows, columns = pair
    return rows, columns, left[rows] @ right[columns].T


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
