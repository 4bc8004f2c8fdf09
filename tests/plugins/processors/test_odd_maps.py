"""Odd classes through every clustering and score: equal ones, one sign, fewer than neighbours."""

import numpy as np
import pytest
from scipy.sparse import issparse

from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.plugins.processors.clusterings import Agglomerative, Dbscan, Discretisation, Mixture
from backlight.plugins.processors.focus import Focus
from backlight.plugins.processors.quality import Silhouette, SmallestShare, Stability
from backlight.plugins.processors.reduction import Pca, RandomProjection

MAPS = np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype(np.float32)
ODD = {
    "two equal": np.repeat(MAPS[:1], 2, axis=0),
    "fewer than neighbours": MAPS[:20],
    "constant": np.full((12, 3, 8, 8), 2, np.float32),
    "zero": np.zeros((12, 3, 8, 8), np.float32),
    "negative": -np.abs(MAPS),
    "half equal": np.concatenate([np.repeat(MAPS[:1], 20, axis=0), MAPS[:20]]),
    "two kinds of equal": np.repeat(MAPS[:2], 15, axis=0),
    "one channel": MAPS[:, 0],
    "one pixel": MAPS[:, :, :1, :1],
}
EVERY = (
    Step("dbscan", Dbscan()),
    Step("agglomerative", Agglomerative()),
    Step("mixture", Mixture()),
    Step("discretisation", Discretisation()),
    Step("silhouette", Silhouette(), {"labels": "kmeans.labels"}),
    Step("stability", Stability()),
    Step("smallest-share", SmallestShare(), {"labels": "hdbscan.labels"}),
    Step("focus", Focus(), {"labels": "strategies.labels"}),
    Step("pca", Pca()),
    Step("random-projection", RandomProjection(8)),
)
UNKNOWN = ("purity", "label_purity", "train_share")  # NaN without predictions, labels and split


@pytest.mark.parametrize("kind", ODD)
def test_every_clustering_and_score_is_finite_on(kind):
    steps = (*pipeline("spray", picture=False).steps, *EVERY)
    results = Pipeline("every", steps)(ODD[kind], seed=0)
    for outputs in results.values():
        for name, value in outputs.items():
            numbers = value.data if issparse(value) else np.asarray(value, dtype=float)
            assert name in UNKNOWN or np.isfinite(numbers).all(), name
    assert all(labels.shape == (len(ODD[kind]),) for labels in results.cluster.values())


@pytest.mark.parametrize("kind", ["two equal", "constant", "zero"])
def test_equal_maps_are_not_told_apart(kind):
    results = pipeline("spray-latent", picture=False)(ODD[kind], seed=0)
    assert not results.cluster["strategies"].any()
    assert results.score["suspicion"] == 0
