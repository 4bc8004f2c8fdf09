"""The neighbour graph: symmetric, the mean of both directions, weights as documented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.core.errors import RequestError
from backlight.plugins.processors.affinity import KnnAffinity
from backlight.plugins.processors.neighbours import Knn


def graph(points, k, weights="binary"):
    return KnnAffinity(weights)(**Knn(k)(features=points))["affinity"]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), k=st.integers(1, 12), seed=st.integers(0, 20))
def test_is_the_mean_of_the_directed_graph_and_its_transpose(n, k, seed):
    points = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    neighbours = Knn(k)(features=points)["neighbours"]
    dense = np.zeros((n, n))
    for i, row in enumerate(neighbours):
        dense[i, row] += 0.5
        dense[row, i] += 0.5
    affinity = graph(points, k)
    np.testing.assert_array_equal(affinity.toarray(), dense)
    assert affinity.format == "csr"
    assert affinity.has_sorted_indices


def test_gaussian_weights_have_the_median_distance_as_width():
    points = np.array([[0.0], [1.0], [3.0]], np.float32)
    affinity = graph(points, 1, "gaussian").toarray()  # 0 <-> 1 at distance 1, 2 -> 1 at distance 2, median 1
    near, far = np.exp(-0.5), np.exp(-2.0) / 2
    np.testing.assert_allclose(affinity, [[0, near, 0], [near, 0, far], [0, far, 0]])


def test_gaussian_weights_of_duplicates_are_one():
    assert graph(np.zeros((4, 2), np.float32), 2, "gaussian").max() == 1.0


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("weights", ["binary", "gaussian"])
def test_no_neighbours_no_edges(n, weights):
    affinity = graph(np.zeros((n, 2), np.float32), 3, weights)
    assert affinity.shape == (n, n)
    assert affinity.nnz == 0


def test_unknown_weights_are_refused():
    with pytest.raises(RequestError, match="weights is 'mutual'"):
        KnnAffinity("mutual")
