"""HDBSCAN: scikit-learn's labels and probabilities, noise, and too few samples."""

import numpy as np
import pytest
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


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_too_few_samples_are_noise(n):
    found = Hdbscan()(embedding=np.eye(4)[:n], eigengap=1)
    assert found["labels"].tolist() == [-1] * n
    assert found["probabilities"].tolist() == [0.0] * n


def test_duplicates_give_defined_probabilities():
    found = Hdbscan(smallest=3)(embedding=np.repeat(np.eye(2), 10, axis=0), eigengap=2)
    assert np.isfinite(found["probabilities"]).all()
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
