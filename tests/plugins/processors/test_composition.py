"""Composition: sizes, purities and shares counted by hand."""

import numpy as np

from backlight.plugins.processors.composition import Composition

LABELS = np.array([0, 0, 0, 0, 1, 1, -1])


def test_counts_by_hand():
    found = Composition()(
        labels=LABELS,
        prediction=np.array([3, 3, 3, 5, 1, 1, 9]),
        label=np.array([2, 2, 4, 4, 4, 1, 9]),
        train=np.array([1, 1, 0, 0, 0, 0, 1], bool),
    )
    assert found["cluster"].tolist() == [0, 1]
    assert found["cluster_size"].tolist() == [4, 2]
    assert found["purity"].tolist() == [0.75, 1.0]
    assert found["label_purity"].tolist() == [0.5, 0.5]
    assert found["train_share"].tolist() == [0.5, 0.0]


def test_what_is_not_known_is_nan():
    found = Composition()(labels=LABELS)
    for name in ("purity", "label_purity", "train_share"):
        assert np.isnan(found[name]).all()


def test_no_samples_no_clusters():
    assert Composition()(labels=np.zeros(0, np.int32))["cluster_size"].shape == (0,)
