"""Orders and search of selected samples, against sorting by hand."""

import numpy as np
import pytest

from backlight.core.errors import RequestError
from backlight.plugins.viewers.arranging import DOWN, ORDERS, Place, arranged


@pytest.fixture
def place(context, dog):
    return Place(context.projects["pets"], dog, "hdbscan")


@pytest.fixture
def indices(dog):
    return np.random.default_rng(0).permutation(dog.index)


@pytest.mark.parametrize("order", [entry["value"] for entry in ORDERS][1:])
def test_orders_lose_nothing_and_falling_is_the_reverse_but_for_ties(place, indices, order):
    up = arranged(place, indices, order, "")
    assert sorted(up.tolist()) == sorted(indices.tolist())
    if order == f"confidence{DOWN}":
        return
    down = arranged(place, indices, f"{order}{DOWN}", "")
    assert sorted(down.tolist()) == sorted(indices.tolist())
    if order in ("index", "file"):
        assert down.tolist() == up.tolist()[::-1] == sorted(indices.tolist(), reverse=True)


def test_confidence_tags_and_clusters(place, indices):
    outputs = place.project.attributions.predictions(indices)
    shares = np.exp(outputs - outputs.max(1, keepdims=True))
    confidence = dict(zip(indices.tolist(), (shares.max(1) / shares.sum(1)).tolist(), strict=True))
    for order, sign in (("confidence", 1), (f"confidence{DOWN}", -1)):
        values = [sign * confidence[i] for i in arranged(place, indices, order, "").tolist()]
        assert values == sorted(values)
    place.project.annotations.tag("odd", indices[[5, 9]])
    assert sorted(arranged(place, indices, "tags", "")[:2].tolist()) == sorted(indices[[5, 9]].tolist())
    clusters = dict(
        zip(place.category.index.tolist(), place.category.clusters("hdbscan").tolist(), strict=True)
    )
    for order in ("cluster", f"cluster{DOWN}"):
        last = [clusters[i] for i in arranged(place, indices, order, "").tolist()][-4:]
        assert last == [-1] * 4


def test_search_finds_numbers_files_labels_tags_and_clusters_by_their_names(place, indices):
    place.project.annotations.tag("snow", indices[:3])
    place.project.annotations.change_cluster("spray/00000001/hdbscan", "rename", [2], "White corner")
    assert sorted(arranged(place, indices, "given", "SNOW").tolist()) == sorted(indices[:3].tolist())
    assert arranged(place, indices, "given", "dog/0061").tolist() == [61]
    marked = place.category.members("hdbscan", 2).tolist()
    assert sorted(arranged(place, indices, "given", "white corner").tolist()) == sorted(marked)
    assert arranged(place, indices, "given", "nothing like this").tolist() == []


def test_filters_of_columns_hold_together(place, indices):
    outputs = place.project.attributions.predictions(indices).astype(float)
    shares = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    guess, sure = outputs.argmax(1), shares.max(1)
    names = np.array([label.name for label in place.project.labels.labels])[guess]
    place.project.annotations.tag("white corner", indices[:7])
    tagged = np.arange(len(indices)) < 7
    limit = float(np.median(sure))
    for search, expected in (
        ("is:wrong", guess != 1),
        ("is:correct", guess == 1),
        ("is:training", guess < 0),
        ("prediction:DOG", names == "dog"),
        (f"confidence<{100 * limit:.7f}%", sure < limit),
        (f"confidence>{limit:.9f} is:correct", (sure > limit) & (guess == 1)),
        ('tag:"white corner" prediction:dog', tagged & (names == "dog")),
        ("label:cat", guess < 0),
        ("file:dog/006 dog", (indices >= 60) & (indices < 70)),
    ):
        got = arranged(place, indices, "given", search).tolist()
        assert got == indices[expected].tolist(), search


@pytest.mark.parametrize(
    "search", ["is:nice", "nothing:dog", "confidence<", "confidence<x", "label:", ':"', '"""']
)
def test_what_is_no_filter_is_searched_for_as_it_is(place, indices, search):
    assert arranged(place, indices, "given", search).tolist() == []


@pytest.mark.parametrize("order", ["given-down", "", "colour", "index-down-down"])
def test_unknown_orders_are_refused(place, indices, order):
    with pytest.raises(RequestError, match="unknown order"):
        arranged(place, indices, order, "")
