"""Exact neighbours: equal to scikit-learn's brute force and to a full sort, ties and duplicates included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from backlight.core.errors import RequestError
from backlight.plugins.processors import neighbours
from backlight.plugins.processors.neighbours import Knn


def by_full_sort(points, k, metric="euclidean"):
    """Sort every distance, the own index left out, ties by index."""
    distances = cdist(points, points, metric)
    np.fill_diagonal(distances, np.inf)
    index = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(distances, index, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize(("n", "d", "k"), [(300, 40, 7), (2500, 17, 10), (40, 3, 39)])
def test_equals_scikit_learn_brute_force(metric, n, d, k):
    points = np.random.default_rng(n).normal(size=(n, d)) + 3
    found = Knn(k, metric)(features=points.astype(np.float32))
    points = points.astype(np.float32).astype(np.float64)
    model = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric=metric).fit(points)
    distances, index = model.kneighbors(points)
    np.testing.assert_array_equal(found["neighbours"], index[:, 1:])
    np.testing.assert_allclose(found["distances"], distances[:, 1:], rtol=1e-4, atol=1e-6)


@settings(max_examples=60)
@given(
    n=st.integers(2, 60),
    d=st.integers(1, 4),
    k=st.integers(1, 70),
    levels=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_ties_and_duplicates_are_ordered_by_index(n, d, k, levels, seed):
    points = np.random.default_rng(seed).integers(0, levels, (n, d)).astype(np.float32)
    index, distances = by_full_sort(points, min(k, n - 1))
    found = Knn(k)(features=points)
    np.testing.assert_array_equal(found["neighbours"], index)
    np.testing.assert_allclose(found["distances"], distances, rtol=1e-6)


def test_result_does_not_depend_on_the_tiles(monkeypatch):
    points = np.random.default_rng(0).normal(size=(200, 30)).astype(np.float32)
    whole = Knn(9)(features=points)
    for tile in (7, 64, 199):
        monkeypatch.setattr(neighbours, "_TILE", tile)
        tiled = Knn(9)(features=points)
        for name in whole:
            np.testing.assert_array_equal(tiled[name], whole[name])


@pytest.mark.parametrize(("n", "d"), [(2500, 300), (60, 50_000)])
def test_threads_change_no_byte(n, d):
    points = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            found.append(Knn(9)(features=points))
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in found[0])


def test_distances_of_long_rows_are_those_of_double_precision(monkeypatch):
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(40, 20_001)) + 3).astype(np.float32)
    left, right = rng.integers(0, 40, (2, 300))
    squared = np.square(points[left].astype(np.float64) - points[right]).sum(axis=1)
    found = neighbours.pair_distances(points, left, right)
    np.testing.assert_allclose(found, squared, rtol=2e-7)
    np.testing.assert_array_equal(neighbours.pair_distances(points, right, left), found)
    monkeypatch.setattr(neighbours, "_PART_BYTES", 7 * points[0].nbytes)
    np.testing.assert_array_equal(neighbours.pair_distances(points, left, right), found)


def test_more_points_within_rounding_than_are_kept_are_all_measured(monkeypatch):
    """Points on a sphere around each other: hundreds of almost equal distances, far from the origin."""
    rng = np.random.default_rng(0)
    points = (
        np.vstack([np.zeros((1, 64)), *(np.eye(64)[[j]] * (1 + 1e-6 * rng.random()) for j in range(64))])
        * 1e-3
    )
    points = np.vstack([points, np.full((1, 64), 1e3)]).astype(np.float32)
    monkeypatch.setattr(neighbours, "_SPARE", 1)
    index, _ = by_full_sort(points.astype(np.float64), 5)
    np.testing.assert_array_equal(Knn(5)(features=points)["neighbours"][0], index[0])


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_samples_have_no_neighbours(n):
    found = Knn(3)(features=np.zeros((n, 4), np.float32))
    assert found["neighbours"].shape == found["distances"].shape == (n, 0)


def test_two_samples_are_each_others_neighbour():
    np.testing.assert_array_equal(Knn(32)(features=np.eye(2, dtype=np.float32))["neighbours"], [[1], [0]])


def test_all_zero_maps_are_each_others_neighbours_at_distance_zero():
    found = Knn(3)(features=np.zeros((5, 4), np.float32))
    np.testing.assert_array_equal(
        found["neighbours"], [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2]]
    )
    assert not found["distances"].any()


def test_negative_zero_is_zero():
    points = np.array([[0.0, 1.0], [-0.0, 1.0], [5.0, 5.0]], np.float32)
    assert Knn(1)(features=points)["neighbours"][:2].tolist() == [[1], [0]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_row(value):
    points = np.zeros((4, 3), np.float32)
    points[2, 1] = value
    with pytest.raises(RequestError, match="1 of 4 samples are not finite, the first in row 2"):
        Knn(1)(features=points)


@pytest.mark.parametrize(("metric", "level"), [("cosine", 0.0), ("correlation", 0.1)])
def test_a_map_without_direction_is_at_right_angles_to_all_but_its_like(metric, level):
    points = np.random.default_rng(0).normal(size=(9, 40)).astype(np.float32)
    points[[2, 5]] = level  # no float32 is 0.1: that its mean is taken away leaves rounding
    found = Knn(8, metric)(features=points)
    dense = cdist(np.delete(points, [2, 5], 0).astype(float), points.astype(float), metric)
    assert found["neighbours"][2][0] == 5
    np.testing.assert_allclose(found["distances"][2], [0] + [1] * 7, atol=1e-6)
    others = np.delete(np.arange(9), [2, 5])
    np.testing.assert_allclose(
        np.sort(found["distances"][others]),
        np.sort(np.where(np.isin(np.arange(9), others), dense, 1))[:, 1:],
        atol=1e-6,
    )


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="k is 0"):
        Knn(0)
    with pytest.raises(RequestError, match="metric is 'manhattan'"):
        Knn(1, "manhattan")


def test_input_is_left_as_it_is():
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    before = points.copy()
    Knn(2)(features=points)
    np.testing.assert_array_equal(points, before)


def test_rows_of_equal_hash_are_told_apart(monkeypatch):
    class Flat:
        """Random numbers that make every row's hash the sum of its bits: permuted rows collide."""

        def integers(self, low, high, shape, dtype):
            return np.ones(shape, dtype)

    monkeypatch.setattr(neighbours.np.random, "default_rng", lambda seed: Flat())
    points = np.array([[1, 2, 3], [3, 2, 1], [1, 2, 3], [2, 1, 3], [5, 5, 5]], dtype=np.float32)
    unique, group = neighbours._without_duplicates(points)
    assert len(unique) == 4
    assert (unique[group] == points).all()
