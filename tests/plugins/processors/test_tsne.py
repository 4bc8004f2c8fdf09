"""The t-SNE picture: neighbourhoods survive, perplexity fits any number of samples, seeds count."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.plugins.processors.tsne import TSne

POINTS = np.vstack([np.random.default_rng(0).normal(size=(20, 5)) + 20 * g for g in range(2)])


def test_keeps_clusters_apart():
    plane = TSne(perplexity=10, iterations=1000)(embedding=POINTS)["projection"]
    assert plane.shape == (40, 2)
    assert plane.dtype == np.float32
    distances = np.linalg.norm(plane[:, None] - plane, axis=2) + np.diag(np.full(40, np.inf))
    np.testing.assert_array_equal(distances.argmin(axis=1) < 20, np.arange(40) < 20)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 12])
def test_perplexity_is_clipped_to_what_the_samples_allow(n):
    plane = TSne(perplexity=30, iterations=250)(embedding=POINTS[:n])["projection"]
    assert plane.shape == (n, 2)
    assert np.isfinite(plane).all()


def test_one_column_and_equal_rows():
    assert TSne(iterations=250)(embedding=POINTS[:, :1])["projection"].shape == (40, 2)
    assert np.isfinite(TSne()(embedding=np.ones((6, 3)))["projection"]).all()


def test_options_are_honoured():
    def draw(**options):
        return TSne(**{"iterations": 250, "perplexity": 5.0} | options)(embedding=POINTS)["projection"]

    base = draw()
    np.testing.assert_array_equal(base, draw(seed=0))
    for options in ({"perplexity": 10.0}, {"dimensions": 2}, {"iterations": 400}):
        assert not np.array_equal(base, draw(**options)), options


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="expected perplexity > 0"):
        TSne(perplexity=0)
