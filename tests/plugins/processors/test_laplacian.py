"""The normalised Laplacian: the formula written out densely, and nodes without edges."""

import numpy as np
import scipy.sparse as sp

from backlight.plugins.processors.laplacian import Laplacian


def random_graph(n, share, seed=0):
    upper = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    upper[upper > share] = 0
    return upper + upper.T


def test_equals_the_formula():
    affinity = random_graph(30, 0.5)
    degree = affinity.sum(axis=1)
    expected = np.eye(30) - affinity / np.sqrt(np.outer(degree, degree))
    found = Laplacian()(affinity=sp.csr_array(affinity))
    np.testing.assert_allclose(found["laplacian"].toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(found["degree"], degree)


def test_equals_scipy():
    affinity = sp.csr_array(random_graph(40, 0.1))
    expected = sp.csgraph.laplacian(affinity, normed=True).toarray()
    np.testing.assert_array_equal(Laplacian()(affinity=affinity)["laplacian"].toarray(), expected)


def test_a_node_without_edges_is_a_component_of_its_own():
    affinity = np.zeros((3, 3))
    affinity[0, 1] = affinity[1, 0] = 1
    laplacian = Laplacian()(affinity=sp.csr_array(affinity))["laplacian"].toarray()
    np.testing.assert_allclose(laplacian, [[1, -1, 0], [-1, 1, 0], [0, 0, 0]])


def test_no_nodes():
    found = Laplacian()(affinity=sp.csr_array((0, 0)))
    assert found["laplacian"].shape == (0, 0)
    assert found["degree"].shape == (0,)
