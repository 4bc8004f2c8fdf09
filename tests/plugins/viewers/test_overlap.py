"""The overlap of two clusterings, against counting by hand."""

import h5py
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from backlight.core.project import ANALYSIS_FILE, open_project
from backlight.plugins.viewers.overlap import cell, overlap
from synthetic_run import write_run


def test_every_sample_is_counted_once(dog):
    found = overlap(dog, "hdbscan", dog, "kmeans-02")
    ours, theirs = dog.clusters("hdbscan"), dog.clusters("kmeans-02")
    assert (found.rows, found.columns, found.shared) == ((-1, 0, 1, 2), (0, 1), len(dog.index))
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            both = dog.index[(ours == row) & (theirs == column)]
            assert found.table[i, j] == len(both)
            assert cell(dog, "hdbscan", dog, "kmeans-02", (row, column)).tolist() == sorted(both.tolist())
    assert found.rand == pytest.approx(adjusted_rand_score(ours, theirs))


def test_a_clustering_agrees_with_itself_and_other_classes_share_nothing(context, dog):
    assert overlap(dog, "hdbscan", dog, "hdbscan").rand == 1
    cat = context.category("pets", "spray", "cat")
    none = overlap(dog, "hdbscan", cat, "hdbscan")
    assert (none.shared, none.rand) == (0, None)


def test_samples_are_matched_by_dataset_index_not_by_row(tmp_path):
    path = write_run(tmp_path / "other")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        order = np.random.default_rng(1).permutation(60)
        for key in ("index", "cluster/hdbscan"):
            file[f"twin/{key}"] = file[f"00000001/{key}"][:][order]
    with open_project(path) as project:
        analysis = project.analysis("spray")
        found = overlap(analysis.category("dog"), "hdbscan", analysis.category("twin"), "hdbscan")
    assert found.rand == 1
    np.testing.assert_array_equal(found.table, np.diag(np.diag(found.table)))
