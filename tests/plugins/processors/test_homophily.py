"""Homophily against loops over neighbours, and where it must be 0 or 1."""

import numpy as np
import pytest

from backlight.plugins.processors.homophily import Homophily
from backlight.plugins.processors.neighbours import Knn


def near(points, k=8):
    return Knn(k)(features=np.asarray(points, dtype=np.float32))["neighbours"]


@pytest.mark.parametrize("seed", range(4))
def test_equals_loops_over_members_and_neighbours(seed):
    random = np.random.default_rng(seed)
    points, labels = random.normal(size=(60, 3)), random.integers(-1, 3, 60)
    labels[:5] = 3  # fewer members than neighbours
    neighbours = near(points)
    found = Homophily()(neighbours=neighbours, labels=labels)
    expected = []
    for c in range(4):
        members = [i for i in range(60) if labels[i] == c]
        others = len(members) - 1
        shares = []
        for i in members:
            nearest = list(neighbours[i])[: min(8, others)]
            shares.append(sum(labels[j] == c for j in nearest) / len(nearest))
        chance = others / 59
        expected.append((np.mean(shares) - chance) / (1 - chance))
    assert found["cluster"].tolist() == [0, 1, 2, 3]
    assert np.allclose(found["cluster_homophily"], expected)
    assert found["homophily"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("small", [4, 20, 100])
def test_separate_groups_have_1_whatever_their_size(small):
    random = np.random.default_rng(0)
    points = random.normal(size=(200, 2))
    points[:small] += 100
    found = Homophily()(neighbours=near(points, 32), labels=(np.arange(200) < small).astype(int))
    assert found["homophily"] == 1
    assert (found["cluster_homophily"] == 1).all()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_labels_dealt_out_at_random_have_0_on_average(share):
    random = np.random.default_rng(1)
    neighbours = near(random.normal(size=(500, 5)), 16)
    deals = [random.random(500) < share for _ in range(60)]
    scores = [Homophily()(neighbours=neighbours, labels=d.astype(int))["homophily"] for d in deals]
    assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(60)
    assert np.std(scores) < 0.06


@pytest.mark.parametrize("labels", [[], [0], [-1, -1, -1], [0, 0, 0, 0], [-1, 2, 2]])
def test_fewer_than_two_clusters_have_0(labels):
    neighbours = near(np.arange(len(labels), dtype=float)[:, None])
    found = Homophily()(neighbours=neighbours, labels=np.array(labels, dtype=int))
    assert found["homophily"] == 0
    assert len(found["cluster"]) == len(found["cluster_homophily"])


def test_a_cluster_of_one_has_0():
    found = Homophily()(neighbours=near([[0.0], [1.0], [5.0]], 2), labels=np.array([0, 0, 1]))
    assert found["cluster_homophily"][1] == 0
