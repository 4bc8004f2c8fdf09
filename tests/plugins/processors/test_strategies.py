"""Strategies: the odd one is found at its scale, large or small, and nothing breaks without one."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.pipeline import pipeline
from backlight.plugins.processors.strategies import Strategies


def maps(n, odd, seed=0, side=16):
    """Return n maps of a shape that shifts and bends, the first `odd` of which also look at a corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    relevance = np.abs(rng.normal(0, 0.02, (n, 1, side, side))).astype(np.float32)
    for i in range(n):
        row, column, slant, width = rng.uniform([8, 8, -0.3, 1.2], [10, 10, 0.3, 1.8])
        relevance[i, 0] += np.exp(-(((y - row) / 3) ** 2) - ((x - column - slant * (y - row)) / width) ** 2)
    relevance[:odd, 0, :2, :2] += rng.uniform(0.6, 1.2, (odd, 1, 1)).astype(np.float32)
    order = rng.permutation(n)
    return relevance[order], order < odd


@pytest.mark.parametrize("odd", [20, 60, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_strategy_of_a_tenth_or_half_of_the_class_is_isolated(odd, seed):
    relevance, truth = maps(200, odd, seed)
    labels = pipeline("spray", until="strategies")(relevance, seed=seed).cluster["strategies"]
    hits = (truth & (labels == 1)).sum()
    assert 2 * hits / (truth.sum() + (labels == 1).sum()) >= 0.95


def strong_near_and_rest(near_shows, seed=0):
    """Return maps of three groups and their places in the graph: the first shows feature 0 by far most.

    The second lies near the first, and shows some feature a little; the third lies apart.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1, 2], [60, 140, 200])
    features = rng.normal(0, 1, (400, 6))
    features[group == 0, 0] += 12
    features[group == 1, near_shows] += 4
    places = np.array([[1.0, 0.0, 0.0], [0.9, 0.4, 0.0], [0.0, 0.1, 1.0]])
    return group, features, places[group] + rng.normal(0, 0.01, (400, 3))


def test_maps_that_show_the_same_less_belong_to_it():
    group, features, embedding = strong_near_and_rest(near_shows=0)
    found = Strategies(rounds=0, seed=0)(features=features, embedding=embedding)
    assert found["scale"] == 2
    np.testing.assert_array_equal(found["labels"] == 1, group < 2)


def test_maps_beside_it_that_show_something_else_do_not_belong_to_it():
    group, features, embedding = strong_near_and_rest(near_shows=1)
    found = Strategies(rounds=0, seed=0)(features=features, embedding=embedding)
    assert found["scale"] == 3
    np.testing.assert_array_equal(found["labels"] == 1, group < 1)


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_too_few_samples_are_all_the_rest(n):
    found = Strategies()(features=np.eye(8)[:n], embedding=np.eye(8)[:n, : max(n, 0)])
    assert found["labels"].tolist() == [0] * n


def test_equal_maps_are_all_the_rest():
    assert not Strategies()(features=np.ones((40, 3)), embedding=np.ones((40, 4)))["labels"].any()


def test_a_strategy_has_at_least_the_smallest_share():
    relevance, _ = maps(200, 10)
    labels = (
        pipeline("spray", until="strategies")
        .replace({"strategies.smallest": 0.2})(relevance)
        .cluster["strategies"]
    )
    assert 40 <= labels.sum() <= 160


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="expected finest >= 2"):
        Strategies(finest=1)
