"""Connectivity repair against scipy: one component, and the minimum spanning tree of the parts."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csgraph
from scipy.spatial.distance import cdist

from backlight.core.pipeline import Pipeline, Step
from backlight.plugins.processors.affinity import KnnAffinity
from backlight.plugins.processors.connect import Connect
from backlight.plugins.processors.laplacian import Laplacian
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.spectral import Spectral


def islands(n, parts, seed):
    random = np.random.default_rng(seed)
    centres = 100 * random.normal(size=(parts, 3))
    return (centres[np.arange(n) % parts] + random.normal(size=(n, 3))).astype(np.float32)


def repaired(points, k=3):
    before = KnnAffinity()(**Knn(k)(features=points))["affinity"]
    return before, Connect()(affinity=before, features=points)["affinity"]


@settings(max_examples=40)
@given(n=st.integers(2, 60), parts=st.integers(1, 12), seed=st.integers(0, 50))
def test_one_component_by_the_shortest_edges(n, parts, seed):
    points = islands(n, parts, seed)
    before, after = repaired(points)
    count, part = csgraph.connected_components(before, directed=False)
    assert csgraph.connected_components(after, directed=False)[0] == 1
    added = sp.triu(after - before).tocoo()
    assert added.nnz == count - 1
    assert (after != after.T).nnz == 0
    # The tree of the parts, from all distances of samples: independent of any search.
    distance = cdist(points.astype(float), points.astype(float))
    between = np.zeros((count, count))
    for a in range(count):
        for b in range(count):
            between[a, b] = 0 if a == b else distance[np.ix_(part == a, part == b)].min()
    shortest = csgraph.minimum_spanning_tree(between).sum()
    assert distance[added.row, added.col].sum() == pytest.approx(shortest, rel=1e-6, abs=1e-9)


def test_a_connected_graph_stays_as_it_is():
    before, after = repaired(np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32), k=10)
    assert (before != after).nnz == 0


def test_a_bridge_is_as_weak_as_the_weakest_edge():
    before, after = repaired(islands(30, 2, 0))
    assert (after - before).max() == before.data.min() == 0.5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_samples(n):
    empty = sp.csr_array((n, n))
    after = Connect()(affinity=empty, features=np.arange(2 * n, dtype=float).reshape(n, 2))["affinity"]
    assert after.shape == (n, n)
    assert after.nnz == (2 if n == 2 else 0)


def test_the_spectrum_has_one_zero_afterwards():
    steps = (
        Step("knn", Knn(3)),
        Step("knn-affinity", KnnAffinity()),
        Step("connect", Connect()),
        Step("laplacian", Laplacian()),
        Step("spectral", Spectral(6)),
    )
    from backlight.plugins.processors.preprocessing import Flatten

    whole = Pipeline("connected", (Step("flatten", Flatten()), *steps))
    values = whole(islands(60, 4, 1).reshape(60, 1, 1, 3))["spectral"]["eigenvalues"]
    assert values[0] == 0
    assert values[1] > 1e-4
