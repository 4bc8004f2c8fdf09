"""The spectral embedding against a dense solver: values, spaces, signs, seeds, small or broken graphs."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.core.errors import RequestError
from backlight.plugins.processors.affinity import KnnAffinity
from backlight.plugins.processors.laplacian import Laplacian
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.spectral import Spectral, fix_signs


def laplacian_of(points, k):
    return Laplacian()(**KnnAffinity()(**Knn(k)(features=points.astype(np.float32))))


def clustered(n, clusters, d=5, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(clusters, d))[rng.integers(clusters, size=n)] * 4 + spread * rng.normal(
        size=(n, d)
    )


@pytest.mark.parametrize(("n", "m"), [(60, 20), (400, 12)], ids=["dense", "krylov"])
@pytest.mark.parametrize("spread", [0.1, 3.0], ids=["disconnected", "connected"])
def test_equals_scipys_dense_solver(n, m, spread):
    graph = laplacian_of(clustered(n, 4, spread=spread), 8)
    found = Spectral(m, seed=3)(**graph)
    values, vectors = scipy.linalg.eigh(graph["laplacian"].toarray())
    np.testing.assert_allclose(found["eigenvalues"], values[:m], atol=1e-9)
    residual = graph["laplacian"] @ found["embedding"] - found["embedding"] * found["eigenvalues"]
    np.testing.assert_allclose(residual, 0, atol=1e-7)
    np.testing.assert_allclose(found["embedding"].T @ found["embedding"], np.eye(m), atol=1e-7)
    cut = int(np.argmax(np.diff(values[: m + 1])[1:])) + 2  # a gap, so that the space up to it is unique
    ours, theirs = found["embedding"][:, :cut], vectors[:, :cut]
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-6)


@settings(max_examples=25)
@given(n=st.integers(0, 40), m=st.integers(1, 12), k=st.integers(1, 6), seed=st.integers(0, 9))
def test_any_graph_gives_ascending_eigenvalues_and_orthonormal_columns(n, m, k, seed):
    graph = laplacian_of(np.random.default_rng(seed).integers(0, 4, (n, 2)), k)
    found = Spectral(m)(**graph)
    assert found["embedding"].shape == (n, min(m, n))
    assert (np.diff(found["eigenvalues"]) >= -1e-12).all()
    np.testing.assert_allclose(found["embedding"].T @ found["embedding"], np.eye(min(m, n)), atol=1e-8)


def test_every_component_has_its_own_indicator_larger_ones_first():
    blocks = [np.ones((size, size)) - np.eye(size) for size in (3, 6, 4)]
    graph = Laplacian()(affinity=sp.csr_array(scipy.linalg.block_diag(*blocks)))
    found = Spectral(3)(**graph)
    np.testing.assert_array_equal(found["eigenvalues"], 0)
    members = [np.flatnonzero(column).tolist() for column in found["embedding"].T]
    assert members == [list(range(3, 9)), list(range(9, 13)), [0, 1, 2]]


def test_more_components_than_eigenvectors():
    found = Spectral(2)(**Laplacian()(affinity=sp.csr_array((5, 5))))
    np.testing.assert_array_equal(found["embedding"], np.eye(5)[:, :2])


def test_many_equal_components_are_all_found_by_the_krylov_solver():
    """A Krylov solver may miss copies of a multiple eigenvalue; 30 equal rings have 30 zeros."""
    ring = np.roll(np.eye(10), 1, axis=1)
    affinity = sp.csr_array(scipy.linalg.block_diag(*[ring + ring.T] * 30))
    found = Spectral(40)(**Laplacian()(affinity=affinity))
    assert (found["eigenvalues"] < 1e-9).sum() == 30
    np.testing.assert_allclose(found["eigenvalues"][30:], 1 - np.cos(2 * np.pi / 10), atol=1e-9)


def test_equal_maps_which_exhaust_a_narrow_krylov_space_have_a_spectrum_too():
    graph = laplacian_of(np.zeros((1000, 2)), 32)  # four different eigenvalues
    found = Spectral(32)(**graph)
    np.testing.assert_allclose(found["eigenvalues"], [0.0, *[1.0] * 31], atol=1e-9)
    residual = graph["laplacian"] @ found["embedding"] - found["embedding"] * found["eigenvalues"]
    np.testing.assert_allclose(residual, 0, atol=1e-9)


@pytest.mark.parametrize("n", [60, 400])
def test_largest_component_of_each_column_is_positive(n):
    vectors = Spectral(10)(**laplacian_of(clustered(n, 3, spread=2), 6))["embedding"]
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(10)] > 0).all()


def test_signs_do_not_hang_on_rounding():
    vector = np.array([[0.5], [-0.5000000000001], [0.1]])
    np.testing.assert_array_equal(fix_signs(vector), fix_signs(-vector))
    assert fix_signs(vector)[0, 0] > 0


def test_same_seed_same_bytes():
    graph = laplacian_of(clustered(400, 3, spread=2), 6)
    assert (
        Spectral(8, seed=1)(**graph)["embedding"].tobytes()
        == Spectral(8, seed=1)(**graph)["embedding"].tobytes()
    )


def test_m_below_one_is_refused():
    with pytest.raises(RequestError, match="m is 0"):
        Spectral(0)
