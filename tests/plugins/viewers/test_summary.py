"""What a card says about a cluster, against the files themselves."""

import h5py
import numpy as np
import pytest

from backlight.core.project import ATTRIBUTION_FILE
from backlight.core.projects.table import category_table, read_table
from backlight.plugins.viewers.summary import analysis_space, summarise
from synthetic_run import CLASSES, MARKED, MARKED_CLASS, PER_CLASS


def test_every_cluster_is_summed_up(context, dog):
    project = context.projects["pets"]
    found = summarise(project, dog, "hdbscan")
    assert [s.cluster for s in found] == [0, 1, 2, -1]
    assert sum(s.size for s in found) == PER_CLASS
    assert sum(s.share for s in found) == pytest.approx(1)
    marked = found[2]
    assert marked.size == MARKED
    members = dog.members("hdbscan", 2)
    outputs = project.attributions.predictions(members)
    best = outputs.argmax(axis=1)
    assert marked.accuracy == pytest.approx((best == MARKED_CLASS).mean())
    assert marked.purity == pytest.approx(np.bincount(best).max() / MARKED)
    assert marked.majority == CLASSES[np.bincount(best).argmax()]
    assert marked.training is None


@pytest.mark.parametrize("axes", [(0,), (1, 0), (2, 4, 3), (7, 0), (5, 5), (6, 2, 4)])
def test_columns_are_those_of_the_whole_embedding(dog, axes):
    embedding = dog.embedding("spectral")
    np.testing.assert_array_equal(embedding.columns(*axes), embedding.all()[:, list(axes)])


def test_what_is_kept_of_a_class_is_what_the_files_say_of_its_samples(context, dog):
    project, rows = context.projects["pets"], np.array([7, 0, 59])
    kept, read = category_table(project, dog).at(rows), read_table(project, dog.index[rows])
    assert kept.training is read.training is None
    for column in ("index", "label", "predicted", "confidence", "correct"):
        np.testing.assert_array_equal(getattr(kept, column), getattr(read, column))


def test_typical_samples_lie_nearer_to_the_centre_than_odd_ones(context, dog):
    space = analysis_space(dog, "hdbscan")
    for summary in summarise(context.projects["pets"], dog, "hdbscan"):
        rows = np.flatnonzero(dog.clusters("hdbscan") == summary.cluster)
        distance = dict(
            zip(
                dog.index[rows].tolist(),
                np.linalg.norm(space[rows] - space[rows].mean(0), axis=1),
                strict=True,
            )
        )
        near, far = ([distance[i] for i in part] for part in (summary.medoids, summary.outliers))
        assert set(summary.medoids).isdisjoint(summary.outliers)
        assert not far or max(near) <= min(far)


def test_a_table_leaves_out_what_was_not_recorded(context):
    project = context.projects["pets"]
    path = project.root / ATTRIBUTION_FILE
    whole = read_table(project, np.array([150, 3, 70]))
    assert whole.label.tolist() == [2, 0, 1]
    assert set(whole.correct.tolist()) <= {0, 1}
    assert whole.training is None
    with h5py.File(path, "r") as file:
        rows = {int(i): k for k, i in enumerate(file["index"])}
        logits = file["prediction"][:][rows[150]].astype(float)
    assert whole.predicted[0] == logits.argmax()
    assert whole.confidence[0] == pytest.approx(np.exp(logits).max() / np.exp(logits).sum())
