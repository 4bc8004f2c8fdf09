"""Concepts: relevance of channels, and that a pipeline sees in them what no place shows."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.pipeline import pipeline
from backlight.plugins.processors.concepts import Concepts


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4), (3, 5, 4, 2)])
@pytest.mark.parametrize("signed", [True, False])
def test_equals_a_loop_over_channels(shape, signed):
    relevance = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = Concepts(signed)(relevance=relevance)["relevance"]
    assert found.shape == (3, 5, 1, 1)
    for n in range(3):
        for c in range(5):
            values = relevance[n, c].ravel().tolist()
            total = sum(v for v in values if signed or v > 0)
            assert found[n, c, 0, 0] == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("shape", [(3,), (3, 0), (3, 2, 0)])
def test_a_shape_without_channels_is_refused(shape):
    with pytest.raises(RequestError, match="expected"):
        Concepts()(relevance=np.zeros(shape))


def channels(n=300, seed=0):
    """Return a layer's relevance; a third of the samples uses channel 3, each at places of its own."""
    random = np.random.default_rng(seed)
    relevance = random.gamma(0.5, size=(n, 12, 6, 6)).astype(np.float32)
    odd = np.arange(n) % 3 == 0
    for i in np.flatnonzero(odd):
        places = random.permutation(36)[:12]
        relevance[i, 3].reshape(-1)[places] += 4
    return relevance, odd


@pytest.mark.parametrize("pooled", [True, False])
def test_a_strategy_without_a_place_is_found_among_channels(pooled):
    relevance, odd = channels()
    given = relevance.sum(axis=(2, 3)) if pooled else relevance
    results = pipeline("spray-latent", neighbours=10, eigenvalues=8, picture=False)(given)
    labels = results.cluster["strategies"]
    assert ((labels == 1) == odd).mean() > 0.97
    assert results["contrast"]["cluster_feature"][1] == 3
    assert results["homophily"]["homophily"] > 0.9


def test_places_do_not_show_it():
    relevance, odd = channels()
    labels = pipeline("spray", neighbours=10, eigenvalues=8, picture=False)(relevance).cluster["strategies"]
    assert ((labels == 1) == odd).mean() < 0.9


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_samples_pass(n):
    results = pipeline("spray-latent", picture=False)(np.ones((n, 7), np.float32))
    assert results.score["homophily"] == 0
