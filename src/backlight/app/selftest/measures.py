"""How well clusters and neighbourhoods fit the planted samples, which the pipeline is never told.

found  share of planted samples in clusters that are at least 90 % planted; only clusters with at least 1 % of
       the class, and of those the 20 largest, count: nobody looks at more.
F1     of the cluster that detects planted samples best.
knn    mean share of the 10 nearest maps that are planted if the map is, and not if it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_PURE, _SHARE, _MOST, _NEAREST = 0.9, 0.01, 20, 10


def found(labels: Array, planted: NDArray[np.bool_]) -> float:
    """Return the share of planted samples in clusters that show them: (N,) labels, (N,) bool."""
    shown = [m for m in _clusters(labels) if planted[m].mean() >= _PURE]
    return float(sum(planted[m].sum() for m in shown) / max(planted.sum(), 1))


def best_f1(labels: Array, planted: NDArray[np.bool_]) -> float:
    """Return the F1 of the best cluster as a detector of planted samples: (N,) labels, (N,) bool."""
    scores = [2 * planted[m].sum() / (len(m) + planted.sum()) for m in _clusters(labels)]
    return float(max(scores, default=0.0))


def agreement(neighbours: Array, planted: NDArray[np.bool_]) -> float:
    """Return the mean share of nearest maps with the same state: (N, k), (N,) bool; 0.5 by chance."""
    nearest = neighbours[:, :_NEAREST]
    return float((planted[nearest] == planted[:, None]).mean()) if nearest.size else float("nan")


def _clusters(labels: Array) -> list[Array]:
    """Return the members of the clusters that count, largest first."""
    names, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = np.argsort(-sizes, kind="stable")[:_MOST]
    return [np.flatnonzero(labels == names[c]) for c in order if sizes[c] >= _SHARE * len(labels)]
