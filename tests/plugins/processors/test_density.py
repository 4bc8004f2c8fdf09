"""HDBSCAN: scikit-learn's labels and probabilities, noise, and too few samples."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, squareform
from sklearn.cluster import HDBSCAN
from sklearn.metrics import adjusted_rand_score

from backlight.core.errors import RequestError
from backlight.plugins.processors.density import Hdbscan


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    centres = np.repeat(np.array([[0.0, 0], [5, 5], [0, 9]]), 30, axis=0)
    return np.vstack([centres + 0.3 * rng.normal(size=centres.shape), [[40, 40], [-40, 3]]])


def test_equals_scikit_learn(blobs):
    expected = HDBSCAN(min_cluster_size=8, min_samples=4, copy=True).fit(blobs)
    found = Hdbscan(smallest=8, samples=4, dimensions=-1, unit_rows=False)(embedding=blobs)
    assert adjusted_rand_score(expected.labels_, found["labels"]) == 1.0
    np.testing.assert_allclose(found["probabilities"], expected.probabilities_, rtol=1e-6)


def test_noise_is_minus_one_with_probability_zero(blobs):
    found = Hdbscan(smallest=8, dimensions=-1, unit_rows=False)(embedding=blobs)
    assert found["labels"][-2:].tolist() == [-1, -1]
    assert not found["probabilities"][-2:].any()
    assert set(found["labels"].tolist()) == {-1, 0, 1, 2}


def slow_persistence(points, labels, smallest, samples):
    """From the definition: components of the mutual-reachability graph at every distance."""
    apart = cdist(points, points)
    core = np.sort(apart, axis=1)[:, samples - 1]  # a sample counts as its own neighbour, as in scikit-learn
    reach = np.maximum(apart, np.maximum.outer(core, core))
    np.fill_diagonal(reach, 0)
    tree = linkage(squareform(reach), "single")
    heights = np.unique(tree[:, 2])
    parts = np.array([fcluster(tree, height, "distance") for height in heights])
    big = np.array([np.bincount(part)[part] >= smallest for part in parts])  # (heights, n)
    found = []
    for inside in (labels == c for c in range(labels.max() + 1)):
        birth = reach[inside][:, ~inside].min()
        split = [len(set(part[inside & large])) > 1 for part, large in zip(parts, big, strict=True)]
        whole = heights[max(np.flatnonzero(split), default=-1) + 1]  # below it are two clusters
        leaves = np.maximum(heights[big[:, inside].argmax(axis=0)], whole)
        found.append((1 / leaves - 1 / birth).mean() * heights[big.any(axis=1)].min())
    return found


def test_persistence_follows_from_its_definition(blobs):
    found = Hdbscan(smallest=8, samples=4, dimensions=-1, unit_rows=False)(embedding=blobs)
    np.testing.assert_allclose(
        found["persistence"], slow_persistence(blobs, found["labels"], 8, 4), rtol=1e-5
    )
    assert (found["persistence"] > 0.3).all() and (found["persistence"] < 1).all()


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_too_few_samples_are_noise(n):
    found = Hdbscan()(embedding=np.eye(4)[:n], eigengap=1)
    assert found["labels"].tolist() == [-1] * n
    assert found["probabilities"].tolist() == [0.0] * n
    assert found["persistence"].shape == (0,)


def test_duplicates_give_defined_probabilities():
    found = Hdbscan(smallest=3)(embedding=np.repeat(np.eye(2), 10, axis=0), eigengap=2)
    assert np.isfinite(found["probabilities"]).all()
    assert found["persistence"].tolist() == [1.0, 1.0]
    assert adjusted_rand_score(np.repeat([0, 1], 10), found["labels"]) == 1.0


def test_dimensions_come_from_the_eigengap(blobs):
    wide = np.hstack([blobs, 100 * np.random.default_rng(1).normal(size=(len(blobs), 3))])
    one = Hdbscan(8, unit_rows=False)(embedding=wide, eigengap=2)["labels"]
    np.testing.assert_array_equal(one, Hdbscan(8, unit_rows=False, dimensions=-1)(embedding=blobs)["labels"])
    with pytest.raises(RequestError, match="eigengap step"):
        Hdbscan()(embedding=wide)


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="expected smallest 0 or >= 2"):
        Hdbscan(smallest=1)
