"""Discretising spectral vectors: the rotation that brings rows closest to indicators (Yu & Shi 2003).

Labels and rotation are improved in turn. A row's cluster is its largest rotated coordinate; the rotation
that fits given labels best solves an orthogonal Procrustes problem, by the singular vectors of their product
with the rows. It starts from a drawn row and those most at right angles to it and to each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.plugins.processors._arrays import unit_rows

Array = NDArray[Any]

_STEPS = 20


def discretised(vectors: Array, seed: int) -> Array:
    """Return the cluster of every row, (N,), one of k: vectors (N, k), no row of which is zero."""
    rows = unit_rows(unit_rows(vectors.T).T)
    rotation = _start(rows, int(np.random.default_rng(seed).integers(len(rows))))
    indicators, before = np.eye(rows.shape[1]), 0.0
    for _ in range(_STEPS):
        labels = (rows @ rotation).argmax(axis=1)
        left, fit, right = np.linalg.svd(indicators[labels].T @ rows)
        if abs(fit.sum() - before) < np.finfo(np.float64).eps * len(rows):
            break
        rotation, before = right.T @ left.T, fit.sum()
    return labels


def _start(rows: Array, first: int) -> Array:
    """Return k rows as columns, (k, k): number `first`, then always the one least along those before it."""
    chosen, along = [rows[first]], np.zeros(len(rows))
    while len(chosen) < rows.shape[1]:
        along += np.abs(rows @ chosen[-1])
        chosen.append(rows[along.argmin()])
    return np.stack(chosen, axis=1)
