"""Tau against scatter matrices written out, its invariances, and its baseline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.core.errors import RequestError
from backlight.plugins.processors.separability import Tau


def by_definition(points, labels, shrinkage):
    """Sum the scatter matrices sample by sample; the largest eigenvalue of inv(S_w) S_b."""
    points, labels = points[labels >= 0], labels[labels >= 0]
    d, mean = points.shape[1], points.mean(axis=0)
    within, between = np.zeros((d, d)), np.zeros((d, d))
    for c in set(labels.tolist()):
        centre = points[labels == c].mean(axis=0)
        for x in points[labels == c]:
            within += np.outer(x - centre, x - centre)
            between += np.outer(centre - mean, centre - mean)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    return np.linalg.eigvals(np.linalg.solve(within, between)).real.max()


def data(n, d, clusters, seed, separation=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, clusters, n)
    labels[: 2 * clusters] = np.arange(2 * clusters) % clusters
    return separation * rng.normal(size=(clusters + 1, d))[labels] + rng.normal(size=(n, d)), labels


@settings(max_examples=30)
@given(
    n=st.integers(20, 80), d=st.integers(1, 6), clusters=st.integers(2, 5), seed=st.integers(0, 50),
    shrinkage=st.sampled_from([0.01, 0.1, 1.0]),
)  # fmt: skip
def test_equals_the_definition(n, d, clusters, seed, shrinkage):
    points, labels = data(n, d, clusters, seed)
    found = Tau(shrinkage, permutations=0)(embedding=points, labels=labels)
    assert found["tau"] == pytest.approx(by_definition(points, labels, shrinkage), rel=1e-6)
    assert found["cluster"].tolist() == list(range(clusters))
    for c, value in zip(found["cluster"], found["cluster_tau"], strict=True):
        against_rest = np.where(labels < 0, -1, labels == c)
        assert value == pytest.approx(by_definition(points, against_rest, shrinkage), rel=1e-6)


def test_noise_does_not_count():
    points, labels = data(60, 3, 2, 0)
    moved = points + 1e3 * (labels < 0)[:, None]
    assert Tau()(embedding=points, labels=labels)["tau"] == pytest.approx(
        Tau()(embedding=moved, labels=labels)["tau"]
    )


def test_separated_clusters_score_above_chance_and_random_ones_at_chance():
    points, labels = data(300, 4, 3, 0, separation=5)
    real = Tau(permutations=50)(embedding=points, labels=labels)
    assert real["tau"] > 20 * real["baseline"]
    shuffled = np.random.default_rng(1).permutation(labels)
    chance = Tau(permutations=50)(embedding=points, labels=shuffled)
    assert chance["tau"] < 3 * chance["baseline"]


def test_baseline_is_seeded():
    points, labels = data(60, 3, 2, 0)
    assert (
        Tau(seed=1)(embedding=points, labels=labels)["baseline"]
        == Tau(seed=1)(embedding=points, labels=labels)["baseline"]
    )
    assert (
        Tau(seed=1)(embedding=points, labels=labels)["baseline"]
        != Tau(seed=2)(embedding=points, labels=labels)["baseline"]
    )


@pytest.mark.parametrize("labels", [[], [0], [-1, -1], [0, 0, 0], [-1, 3]])
def test_fewer_than_two_clusters_score_zero(labels):
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    found = Tau()(embedding=points, labels=np.array(labels, np.int32))
    assert found["tau"] == found["baseline"] == 0.0
    assert found["cluster_count"] == len({x for x in labels if x >= 0})


def test_clusters_of_single_points_are_bounded():
    found = Tau(shrinkage=0.0)(embedding=np.eye(2), labels=np.array([0, 1]))
    assert np.isfinite(found["tau"])


def test_equal_points_score_zero():
    assert Tau()(embedding=np.ones((6, 2)), labels=np.array([0, 0, 0, 1, 1, 1]))["tau"] == 0.0


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match=r"expected shrinkage in \[0, 1\]"):
        Tau(shrinkage=2.0)
