"""Inputs for processors by port: two blobs of n samples, and all that an analysis makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NEIGHBOURS = 5
WIDTH = 6

Array = NDArray[Any]


def sample(n: int, seed: int = 0) -> dict[str, Any]:
    """Return values of all ports that the built-in stages use, for n samples, in float64."""
    rng = np.random.default_rng(seed)
    blob = np.arange(n) % 2
    relevance = rng.normal(0.2, 1, (n, 3, 8, 8))
    relevance[blob == 1, :, :3, :3] += 4
    features = relevance.mean(axis=1).reshape(n, 64)
    neighbours, distances = _neighbours(features)
    affinity = _affinity(neighbours)
    degree = np.asarray(affinity.sum(axis=1), dtype=np.float64).ravel()
    laplacian = _laplacian(affinity, degree)
    eigenvalues, embedding = np.linalg.eigh(laplacian.toarray()) if n else (np.zeros(0), np.zeros((0, 0)))
    labels = blob.astype(np.int32)
    labels[8::9] = -1
    return {
        "relevance": relevance,
        "features": features,
        "neighbours": neighbours,
        "distances": distances,
        "affinity": affinity,
        "degree": degree,
        "laplacian": laplacian,
        "eigenvalues": np.clip(eigenvalues[:WIDTH], 0, 2),
        "embedding": embedding[:, :WIDTH],
        "projection": features[:, :2],
        "eigengap": 2,
        "labels": labels,
        "prediction": np.where(np.arange(n) % 5 == 0, 1, 0),
        "train": np.arange(n) % 4 != 0,
        "index": np.arange(n),
    }


def _neighbours(features: Array) -> tuple[Array, Array]:
    n = len(features)
    k = max(0, min(NEIGHBOURS, n - 1))
    distance = np.sqrt(np.square(features[:, None] - features[None]).sum(-1)) if n else np.zeros((0, 0))
    np.fill_diagonal(distance, np.inf)
    neighbours = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return neighbours.astype(np.int32), np.take_along_axis(distance, neighbours, axis=1)


def _affinity(neighbours: Array) -> sp.csr_array:
    n, k = neighbours.shape
    rows = np.repeat(np.arange(n), k)
    graph = sp.csr_array((np.ones(n * k), (rows, neighbours.ravel())), shape=(n, n))
    return sp.csr_array((graph + graph.T) / 2)


def _laplacian(affinity: sp.csr_array, degree: Array) -> sp.csr_array:
    scale = sp.diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    return sp.csr_array(sp.diags_array((degree > 0).astype(np.float64)) - scale @ affinity @ scale)
