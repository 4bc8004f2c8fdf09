"""openTSNE: neighbours stay neighbours, small classes work, the same seed gives the same picture."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.pipeline import pipeline
from backlight.plugins.processors.opentsne import OpenTSne


@pytest.mark.slow  # two layouts
def test_clusters_stay_apart_and_the_seed_decides():
    pytest.importorskip("openTSNE")
    points = np.concatenate([np.random.default_rng(c).normal(6 * c, 1, (60, 5)) for c in range(2)])
    first, second = (OpenTSne(15, iterations=100, seed=1)(embedding=points)["projection"] for _ in range(2))
    assert (first == second).all() and first.dtype == np.float32
    distances = np.linalg.norm(first[:, None] - first[None], axis=2) + 1e9 * np.eye(120)
    assert ((distances.argmin(axis=1) < 60) == (np.arange(120) < 60)).all()


@pytest.mark.parametrize("n", [0, 1, 5, 19])
def test_small_classes_have_a_picture(n):
    assert OpenTSne()(embedding=np.random.default_rng(0).random((n, 3)))["projection"].shape == (n, 2)


def test_bad_parameters_are_refused():
    with pytest.raises(RequestError, match="perplexity"):
        OpenTSne(0)


def test_a_preset_can_leave_the_picture_out():
    assert "tsne" not in [step.name for step in pipeline("spray", picture=False).steps]
    assert "tsne" in [step.name for step in pipeline("spray").steps]
