"""Growing: shares equal a mixture written with densities, faint members join, others don't."""

import numpy as np
import pytest
from scipy.stats import norm

from backlight.core.errors import RequestError
from backlight.plugins.processors._growing import _expected, grown
from backlight.plugins.processors.strategies import Strategies


def test_an_em_step_equals_one_written_with_densities():
    rng = np.random.default_rng(0)
    score, inside = rng.normal(size=60), rng.random(60)
    density = []
    for weight in (inside, 1 - inside):
        mean = np.average(score, weights=weight)
        deviation = np.sqrt(np.average((score - mean) ** 2, weights=weight))
        density.append(weight.sum() * norm(mean, deviation).pdf(score))
    assert _expected(score, inside) == pytest.approx(density[0] / (density[0] + density[1]))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_faint_members_join_a_core_of_strong_ones(share):
    rng = np.random.default_rng(1)
    n = 1000
    member = rng.random(n) < share
    strength = rng.uniform(2, 8, n) * member
    features = rng.normal(0, 0.5, (n, 30))
    features[:, 4:7] += strength[:, None]
    found = grown(features, strength > 6, 0.9, 20)
    assert found[strength > 6].all()
    assert member[found].mean() > 0.97 and found[member].mean() > 0.9


def test_a_core_that_all_would_join_stays_as_it_is():
    features = np.random.default_rng(0).normal(size=(50, 4))
    core = np.arange(50) < 25
    assert (grown(features, core, 0.5, 49) == core).all()


def test_equal_features_let_nobody_join():
    core = np.arange(40) < 10
    assert (grown(np.ones((40, 3)), core, 0.9, 4) == core).all()


@pytest.mark.parametrize("wrong", [{"certainty": 1.0}, {"certainty": 0.3}, {"rounds": -1}])
def test_bad_parameters_are_refused(wrong):
    with pytest.raises(RequestError, match="certainty"):
        Strategies(**wrong)
