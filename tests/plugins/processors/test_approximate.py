"""Approximate neighbours: the recall that was asked for, measured against the exact ones."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from backlight.core.errors import RequestError
from backlight.plugins.processors._tiles import nearest_in_tiles, nearest_of
from backlight.plugins.processors.approximate import ApproximateKnn
from backlight.plugins.processors.neighbours import Knn


def clustered(n=4000, d=64, rank=None, seed=0):
    random = np.random.default_rng(seed)
    centres = 4 * random.normal(size=(6, d))
    if rank is None:
        spread = random.normal(size=(n, d))
    else:
        spread = random.normal(size=(n, rank)) @ random.normal(size=(rank, d)) + 0.05 * random.normal(
            size=(n, d)
        )
    return (centres[random.integers(6, size=n)] + spread).astype(np.float32)


def recall(found, exact):
    shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    return np.mean(shared) / exact.shape[1]


@pytest.mark.parametrize("wanted", [0.8, 0.95])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("points", [clustered(), clustered(rank=6), clustered(rank=6, seed=1)])
def test_recall_is_what_was_asked_for_and_what_is_said(points, metric, wanted):
    step = ApproximateKnn(10, metric, recall=wanted, components=16, exact=0, seed=0)
    found = step(features=points)
    true = recall(found["neighbours"], Knn(10, metric)(features=points)["neighbours"])
    assert true >= wanted
    assert abs(true - found["recall"]) < 0.03


def test_distances_are_exact_sorted_and_never_to_oneself():
    points = clustered(rank=6)
    found = ApproximateKnn(10, components=16, exact=0)(features=points)
    index, distances = found["neighbours"], found["distances"]
    wide = points.astype(np.float64)
    assert np.allclose(distances, np.linalg.norm(wide[index] - wide[:, None], axis=2), rtol=1e-4)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert not (index == np.arange(len(points))[:, None]).any()
    assert all(len(set(row)) == 10 for row in index.tolist())


def test_fewer_pairs_than_all_are_compared(monkeypatch):
    from backlight.plugins.processors import approximate

    compared = []

    def counting(points, norms, count, pairs):
        pairs = list(pairs)
        size = [(a.stop - a.start) * (b.stop - b.start) * (1 if a == b else 2) for a, b in pairs]
        compared.append(sum(size) / len(points) ** 2)
        return found(points, norms, count, pairs)

    found = approximate.nearest_in_tiles
    monkeypatch.setattr(approximate, "nearest_in_tiles", counting)
    ApproximateKnn(10, exact=0)(features=clustered())
    assert len(compared) == 1
    assert compared[0] < 0.4  # six clusters: a sixth would do, were they the cells


def test_what_is_not_compared_counts_by_its_length():
    random = np.random.default_rng(0)
    points = random.normal(size=(90, 40)).astype(np.float32)
    seen, rest = points[:, :25], np.square(points[:, 25:]).sum(axis=1)
    norms = np.square(points).sum(axis=1)
    tiles = [slice(0, 50), slice(50, 90)]
    values, index = nearest_in_tiles(seen, norms, 6, combinations_with_replacement(tiles, 2))
    wanted = cdist(seen, seen, "sqeuclidean") + rest + rest[:, None]
    np.fill_diagonal(wanted, np.inf)
    assert (np.sort(index) == np.sort(wanted.argsort(axis=1)[:, :6])).all()
    np.testing.assert_allclose(values + norms[:, None], np.take_along_axis(wanted, index, axis=1), rtol=1e-4)


@pytest.mark.parametrize("width", [7, 50, 1000])
def test_nearest_of_some_points_come_in_order_and_without_themselves(monkeypatch, width):
    from backlight.plugins.processors import _tiles

    monkeypatch.setattr(_tiles, "_WIDTH", width)
    points = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    chosen = np.array([0, 3, 7, 48, 49, 50, 119])
    found = nearest_of(chosen, points, np.square(points).sum(axis=1), 12)
    wanted = cdist(points[chosen], points)
    wanted[np.arange(len(chosen)), chosen] = np.inf
    assert np.array_equal(found, wanted.argsort(axis=1)[:, :12])


@pytest.mark.parametrize("most", [3, 5, 100])
def test_tiles_cover_every_pair_of_near_cells_once(monkeypatch, most):
    from backlight.plugins.processors import approximate

    monkeypatch.setattr(approximate, "_ROWS", most)
    monkeypatch.setattr(approximate, "_COLUMNS", 2 * most)
    random = np.random.default_rng(most)
    size = random.integers(1, 9, 12)
    near = random.random((12, 12)) < 0.4
    near = near | near.T | np.eye(12, dtype=bool)
    times = np.zeros((size.sum(), size.sum()), int)
    for rows, columns in approximate._pairs(size, near):
        times[rows, columns] += 1
        if rows != columns:
            times[columns, rows] += 1
    cell = np.repeat(np.arange(12), size)
    assert np.array_equal(times, near[cell[:, None], cell].astype(int))


def test_structureless_data_is_compared_in_full():
    points = np.random.default_rng(0).normal(size=(2000, 200)).astype(np.float32)
    found = ApproximateKnn(5, components=8, exact=0)(features=points)
    assert found["recall"] == 1
    assert np.array_equal(found["neighbours"], Knn(5)(features=points)["neighbours"])


def test_duplicates_are_neighbours_of_each_other():
    points = np.repeat(clustered(n=500), 4, axis=0)
    found = ApproximateKnn(3, exact=0)(features=points)
    assert (found["distances"] == 0).all()
    assert (found["neighbours"] // 4 == np.arange(2000)[:, None] // 4).all()


def test_equal_seeds_give_equal_neighbours():
    one, other = (ApproximateKnn(10, exact=0, seed=3)(features=clustered()) for _ in range(2))
    assert np.array_equal(one["neighbours"], other["neighbours"])


def test_threads_change_no_byte():
    points = clustered(n=6000, d=200)
    found = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            found.append(ApproximateKnn(10, recall=0.8, exact=0, seed=0)(features=points))
    assert found[0]["recall"] < 1
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in found[0])


@pytest.mark.parametrize("wrong", [{"recall": 0.0}, {"recall": 1.1}, {"k": 0}, {"metric": "hamming"}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(RequestError):
        ApproximateKnn(**wrong)
