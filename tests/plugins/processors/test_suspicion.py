"""Suspicion needs both: something that shows, and neighbourhoods that respect it."""

import numpy as np
import pytest

from backlight.core.pipeline import pipeline
from backlight.plugins.processors.suspicion import Suspicion

from .test_strategies import maps


@pytest.mark.parametrize(
    ("contrast", "homophily", "expected"),
    [(2.0, 0.5, 1.0), (2.0, -0.1, 0.0), (-1.0, -1.0, 0.0), (0.0, 1.0, 0.0)],
)
def test_is_the_product_of_what_is_above_chance(contrast, homophily, expected):
    assert Suspicion()(contrast=contrast, homophily=homophily)["suspicion"] == expected


def test_a_planted_strategy_outranks_plain_variety():
    chain = pipeline("spray", neighbours=10, eigenvalues=8, picture=False)
    plain = np.random.default_rng(3).normal(size=(120, 1, 8, 8)).astype(np.float32)
    planted, _ = maps(120, 60)
    scores = [chain(relevance)["suspicion"]["suspicion"] for relevance in (plain, planted)]
    assert scores[1] > 2 * scores[0] > 0
