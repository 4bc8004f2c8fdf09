"""The preset as a whole: finds planted strategies, ranks them above clean classes, survives odd input."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.pipeline import pipeline

from .test_strategies import maps

QUICK = {"tsne.iterations": 250}


def run(relevance, **inputs):
    return pipeline("spray").replace(QUICK)(relevance, **inputs)


def test_planted_strategy_stands_out_from_clean_classes():
    poisoned, truth = maps(150, 70, seed=3)
    results = run(poisoned)
    suspicious = results["contrast"]["suspicious_cluster"]
    assert ((results.cluster["strategies"] == suspicious) == truth).mean() > 0.98
    clean = [run(maps(150, 0, seed)[0]) for seed in range(2)]
    assert results.score["contrast"] > max(r.score["contrast"] for r in clean)


def test_results_have_names():
    results = run(maps(60, 20)[0], prediction=np.zeros(60, int))
    assert set(results.embedding) == {"spectral", "tsne"}
    assert set(results.cluster) == {"strategies", "kmeans", "hdbscan"}
    assert set(results.score) == {"eigengap", "tau", "contrast", "homophily", "suspicion", "composition"}
    assert results.embedding["spectral"].shape == (60, 32)
    assert results.embedding["tsne"].shape == (60, 2)
    assert results["composition"]["purity"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 31, 33])
def test_small_classes_give_every_result(n):
    results = run(maps(40, 10)[0][:n])
    names = {step.name for step in results.pipeline.steps if step.processor.stage != "preprocessing"}
    assert set(results) == names
    for labels in results.cluster.values():
        assert labels.shape == (n,)
    assert np.isfinite(results.score["tau"])


@pytest.mark.parametrize("fill", [0.0, -1.0, 3.0], ids=["zero", "negative", "constant"])
def test_equal_maps_are_one_strategy(fill):
    results = run(np.full((50, 3, 8, 8), fill, np.float32))
    assert not results.cluster["strategies"].any()
    assert results.score["tau"] == 0.0


def test_maps_that_are_not_finite_are_refused_by_name():
    relevance = maps(20, 5)[0]
    relevance[4, 0, 0, 0] = np.nan
    with pytest.raises(RequestError, match="not finite"):
        run(relevance)


def test_disconnected_class():
    relevance = np.zeros((80, 1, 8, 8), np.float32)
    relevance[:40, 0, :4] = np.random.default_rng(0).random((40, 4, 8))
    relevance[40:, 0, 4:] = np.random.default_rng(1).random((40, 4, 8))
    results = run(relevance)
    assert (results["spectral"]["eigenvalues"][:2] == 0).all()
    assert (
        len(set(results.cluster["kmeans"][:40].tolist()))
        == len(set(results.cluster["kmeans"][40:].tolist()))
        == 1
    )


def test_parameters_reach_their_steps():
    steps = pipeline("spray", neighbours=5, eigenvalues=7, grid=9, perplexity=4.0)
    assert steps.step("knn").processor.k == 5
    assert steps.step("spectral").processor.m == 7
    assert steps.step("pool").processor.grid == 9
    assert steps.step("tsne").processor.perplexity == 4.0
