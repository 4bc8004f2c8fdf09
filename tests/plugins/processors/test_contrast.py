"""Contrast: signed, standardised, pointing at the cluster that has a thing, not that lacks it."""

import numpy as np
import pytest

from backlight.plugins.processors.contrast import Contrast

RNG = np.random.default_rng(0)


def marked(n=100, share=0.5, feature=7):
    features = RNG.normal(size=(n, 20))
    labels = (np.arange(n) < share * n).astype(np.int32)
    features[labels == 1, feature] += 6
    return features, labels


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_points_at_the_cluster_that_shows_something_and_where(share):
    features, labels = marked(share=share)
    found = Contrast()(features=features, labels=labels)
    assert found["suspicious_cluster"] == 1
    assert found["cluster_feature"][1] == 7
    assert found["contrast"] == found["cluster_contrast"][1] > 3 * found["cluster_contrast"][0]


def test_equals_the_formula():
    features, labels = marked()
    a, b = features[labels == 1], features[labels == 0]
    variance = (np.square(a - a.mean(0)).sum(0) + np.square(b - b.mean(0)).sum(0)) / len(features)
    expected = ((a.mean(0) - b.mean(0)) / np.sqrt(variance + variance.mean())).max()
    assert Contrast()(features=features, labels=labels)["contrast"] == pytest.approx(expected)


def test_blocks_do_not_matter(monkeypatch):
    features, labels = marked()
    once = Contrast()(features=features, labels=labels)["cluster_contrast"]
    monkeypatch.setattr("backlight.plugins.processors.contrast._BLOCK", 7)
    np.testing.assert_allclose(
        Contrast()(features=features, labels=labels)["cluster_contrast"], once, rtol=1e-12
    )


def test_scale_of_the_features_does_not_matter():
    features, labels = marked()
    once = Contrast()(features=features, labels=labels)["contrast"]
    assert Contrast()(features=1e-4 * features, labels=labels)["contrast"] == pytest.approx(once)


@pytest.mark.parametrize("labels", [[], [0, 0], [-1, -1], [-1, 0]])
def test_fewer_than_two_clusters_have_no_contrast(labels):
    found = Contrast()(features=np.zeros((len(labels), 3)), labels=np.array(labels, np.int32))
    assert found["contrast"] == 0.0
    assert found["suspicious_cluster"] == -1


def test_equal_maps_have_no_contrast():
    found = Contrast()(features=np.ones((4, 3)), labels=np.array([0, 0, 1, 1]))
    assert found["contrast"] == 0.0


def test_noise_belongs_to_the_rest():
    features, labels = marked()
    labels[:3], labels[-3:] = -1, -1
    found = Contrast()(features=features, labels=labels)
    assert found["cluster"].tolist() == [0, 1]
    assert found["suspicious_cluster"] == 1
