"""k-means: scikit-learn's answer on row-normalised leading coordinates, and more clusters than points."""

import numpy as np
import pytest
from sklearn.cluster import KMeans as Lloyd
from sklearn.metrics import adjusted_rand_score

from backlight.core.errors import RequestError
from backlight.plugins.processors.kmeans import KMeans

EMBEDDING = np.random.default_rng(0).normal(size=(80, 6))


def test_equals_scikit_learn_on_unit_rows_of_the_first_k_coordinates():
    points = EMBEDDING[:, :3] / np.linalg.norm(EMBEDDING[:, :3], axis=1, keepdims=True)
    expected = Lloyd(3, n_init=10, random_state=5).fit_predict(points)
    assert adjusted_rand_score(expected, KMeans(3, seed=5)(embedding=EMBEDDING)["labels"]) == 1.0


def test_equals_scikit_learn_on_everything_as_it_is():
    expected = Lloyd(4, n_init=10, random_state=0).fit_predict(EMBEDDING)
    found = KMeans(4, dimensions=-1, unit_rows=False)(embedding=EMBEDDING)["labels"]
    assert adjusted_rand_score(expected, found) == 1.0


def test_larger_clusters_come_first():
    labels = KMeans(4)(embedding=EMBEDDING)["labels"]
    assert labels.dtype == np.int32
    assert (np.diff(np.bincount(labels)) <= 0).all()


def test_takes_the_number_of_clusters_from_the_eigengap():
    assert KMeans()(embedding=EMBEDDING, eigengap=5)["labels"].max() == 4
    assert KMeans()(embedding=EMBEDDING, eigengap=1)["labels"].max() == 1  # at least two
    with pytest.raises(RequestError, match="eigengap step"):
        KMeans()(embedding=EMBEDDING)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_no_more_clusters_than_different_points(n):
    labels = KMeans(8)(embedding=np.eye(4)[:n])["labels"]
    assert sorted(set(labels.tolist())) == list(range(n))


def test_duplicates_are_one_cluster():
    assert not KMeans(3)(embedding=np.ones((7, 3)))["labels"].any()


def test_zero_rows_are_allowed():
    assert len(KMeans(2)(embedding=np.vstack([np.zeros((2, 2)), np.eye(2)]))["labels"]) == 4


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="expected k >= 0"):
        KMeans(-1)
