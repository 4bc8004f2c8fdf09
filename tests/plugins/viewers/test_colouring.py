"""What points are coloured by, and in which order samples stand."""

import h5py
import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.core.project import ATTRIBUTION_FILE
from backlight.plugins.viewers.arranging import ORDERS, Place, arranged
from backlight.plugins.viewers.colouring import choices, group
from backlight.plugins.viewers.palette import NOISE_COLOUR


@pytest.fixture
def project(context):
    return context.projects["pets"]


@pytest.fixture
def logits(project, dog):
    with h5py.File(project.root / ATTRIBUTION_FILE, "r") as file:
        rows = np.argsort(file["index"][:])
        return file["prediction"][:][rows][dog.index].astype(float)


def test_every_choice_colours_every_sample(project, dog):
    project.annotations.tag("<b>mark</b>", dog.index[:5])
    offered = [entry["value"] for entry in choices(project, dog)]
    assert {"cluster", "confidence", "score:purity", "tag:<b>mark</b>"} <= set(offered)
    assert "score:tau" not in offered
    for by in [*offered, "tag:gone", "score:gone", "nonsense"]:
        ids, entries = group(project, dog, "hdbscan", by)
        assert ids.shape == dog.index.shape
        assert sorted({e["id"] for e in entries}) == np.unique(ids).tolist()
        assert all(e["colour"] == NOISE_COLOUR for e in entries if e["id"] < 0)


def test_correctness_and_confidence_are_the_models(project, dog, logits):
    ids, entries = group(project, dog, None, "correctness")
    np.testing.assert_array_equal(ids, logits.argmax(1) == 1)
    assert {e["id"]: e["name"] for e in entries} == {k: ("wrong", "correct")[k] for k in np.unique(ids)}
    confidence = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
    ids, _ = group(project, dog, None, "confidence")
    np.testing.assert_array_equal(ids, np.minimum((confidence * 6).astype(int), 5))


def test_a_tag_and_a_score_of_clusters(project, dog):
    project.annotations.tag("mark", dog.index[[3, 7]])
    ids, entries = group(project, dog, None, "tag:mark")
    assert np.flatnonzero(ids == 0).tolist() == [3, 7]
    assert [e["name"] for e in entries] == ["not tagged", "mark"]
    ids, _ = group(project, dog, "kmeans-02", "score:purity")
    clusters = dog.clusters("hdbscan")
    assert set(ids[clusters == 2]) == {5}
    assert set(ids[clusters == 1]) == {0}
    assert set(ids[clusters == -1]) == {-1}


def test_an_unrecorded_split_is_said(project, dog):
    ids, entries = group(project, dog, None, "split")
    assert set(ids) == {-1}
    assert entries[0]["name"] == "split not recorded"


def test_orders(project, dog, logits):
    place = Place(project, dog, "hdbscan")
    some = dog.index[[9, 2, 30, 17, 44]]
    confidence = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
    by = dict(zip(dog.index.tolist(), confidence, strict=True))
    assert arranged(place, some, "given", "").tolist() == some.tolist()
    assert arranged(place, some, "confidence", "").tolist() == sorted(some.tolist(), key=by.get)
    assert arranged(place, some, "confidence-down", "").tolist() == sorted(some.tolist(), key=by.get)[::-1]
    assert arranged(place, some, "file", "").tolist() == sorted(some.tolist())
    clusters = dict(zip(dog.index.tolist(), dog.clusters("hdbscan").tolist(), strict=True))
    found = [clusters[i] for i in arranged(place, dog.index, "cluster", "").tolist()]
    assert found == sorted(found, key=lambda c: (c < 0, c))
    right = dict(zip(dog.index.tolist(), logits.argmax(1) == 1, strict=True))
    found = [right[i] for i in arranged(place, dog.index, "wrong", "").tolist()]
    assert found == sorted(found)
    for entry in ORDERS:
        assert sorted(arranged(place, some, entry["value"], "").tolist()) == sorted(some.tolist())
    with pytest.raises(RequestError, match="unknown order"):
        arranged(place, some, "size", "")


@pytest.mark.parametrize(
    ("search", "count"), [("DOG/0061", 1), ("dog", 60), ("<b>", 0), ("mark", 2), ("119", 1)]
)
def test_search(project, dog, search, count):
    project.annotations.tag("mark", [70, 71])
    place = Place(project, dog, None)
    found = arranged(place, dog.index, "given", search)
    # A prediction may hold the text too.
    assert len(found) >= count if search == "<b>" else len(found) == count
