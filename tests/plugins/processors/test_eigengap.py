"""The eigengap: where planted clusters put it, and degenerate spectra."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.plugins.processors.eigengap import Eigengap


@pytest.mark.parametrize("clusters", [1, 2, 5])
def test_counts_the_small_eigenvalues(clusters):
    values = np.concatenate([np.linspace(0, 0.01, clusters), np.linspace(0.6, 0.9, 20)])
    found = Eigengap()(eigenvalues=values)
    assert found["eigengap"] == clusters
    assert found["gap"] == pytest.approx(0.6 - values[clusters - 1])


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_eigenvalues_have_no_gap(n):
    assert Eigengap()(eigenvalues=np.zeros(n)) == {"eigengap": n, "gap": 0.0}


def test_only_the_first_eigenvalues_are_looked_at():
    values = np.array([0.0, 0.1, 0.3, 0.35, 0.9])
    assert Eigengap(first=4)(eigenvalues=values)["eigengap"] == 2
    assert Eigengap()(eigenvalues=values)["eigengap"] == 4


def test_too_few_to_look_at_are_refused():
    with pytest.raises(RequestError, match="first is 1"):
        Eigengap(1)
