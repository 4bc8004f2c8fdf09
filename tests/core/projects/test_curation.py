"""Names, merges and hiding of clusters: what a history leads to, against a plain account of groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.core.errors import FormatError, RequestError
from backlight.core.project import ANALYSIS_FILE, open_project
from backlight.core.projects.annotations import Annotations, curated
from backlight.core.projects.curation import Curation
from backlight.core.projects.events import read_events
from backlight.core.projects.table import rows
from synthetic_run import write_run

PLACE = "spray/00000001/hdbscan"


@pytest.fixture
def notes(tmp_path):
    return Annotations(tmp_path / "project.yaml")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=10))
def test_merging_makes_the_groups_that_joining_sets_makes(merges):
    curation, groups = Curation(), {c: {c} for c in range(7)}
    for cluster, other in merges:
        curation = curation.merged(cluster, other)
        joined = groups[cluster] | groups[other]
        groups |= dict.fromkeys(joined, joined)
    ids = curation.ids(np.arange(7))
    assert {frozenset(np.flatnonzero(ids == c).tolist()) for c in ids} == set(map(frozenset, groups.values()))
    assert all(c in np.flatnonzero(ids == c) for c in ids)


def test_names_follow_merges_and_every_negative_cluster_is_noise():
    found = Curation().renamed(2, "snow").merged(5, 2).showing(5, False)
    assert [found.name(c) for c in (2, 5, 3, -1)] == ["snow", "snow", "cluster 3", "noise"]
    assert found.ids(np.array([-1, -7, 2, 5, 3])).tolist() == [-1, -1, 2, 2, 3]
    assert found.hidden == {2}
    assert found.showing(2, True).hidden == frozenset()
    assert found.renamed(2, "").name(5) == "cluster 2"


def test_a_history_is_kept_undone_and_redone(notes):
    notes.change_cluster(PLACE, "rename", [2], "  snow ")
    notes.change_cluster(PLACE, "merge", [1, 2])
    notes.change_cluster("spray/00000001/kmeans-02", "hide", [0])
    notes.tag("mark", [3])
    assert notes.curation(PLACE) == Curation({2: "snow"}, {1: 2})
    merge = notes.last(PLACE)
    assert merge.sentence == "merge cluster 1 into 2"
    notes.undo(merge)
    assert notes.curation(PLACE) == Curation({2: "snow"})
    notes.undo(notes.last(PLACE))
    assert notes.last(PLACE) is None
    assert not notes.curation(PLACE)
    notes.undo(notes.history()[-1])
    assert notes.curation(PLACE) == Curation({2: "snow"})
    assert notes.curation("spray/00000001/kmeans-02").hidden == {0}
    assert list(notes.tags()) == ["mark"]
    assert len(notes.history()) == 7
    assert Annotations(notes.path.with_name("project.yaml")).history() == notes.history()


def test_copies_merge_by_union(tmp_path):
    ours, theirs = Annotations(tmp_path / "a" / "project.yaml"), Annotations(tmp_path / "b" / "project.yaml")
    for notes, cluster, name in ((ours, 0, "snow"), (theirs, 1, "copyright")):
        notes.path.parent.mkdir()
        notes.change_cluster(PLACE, "rename", [cluster], name)
    assert ours.merge(theirs.history()) == 1
    assert ours.curation(PLACE).names == {0: "snow", 1: "copyright"}


@pytest.mark.parametrize(
    "change",
    [
        {"clusters": "1;2"}, {"clusters": ""}, {"clusters": "1,2,3"}, {"clusters": "9" * 30},
        {"place": "spray"}, {"place": 3}, {"text": "a" * 200}, {"text": "a\x00b"}, {"do": "explode"},
        {"do": "merge"}, {"extra": "x"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(change):
    event = {
        "id": "x",
        "at": "t",
        "by": "me",
        "do": "rename",
        "place": PLACE,
        "clusters": "1",
        "text": "snow",
    }
    assert curated(read_events({"events": [event]}, "here"), PLACE).names == {1: "snow"}
    with pytest.raises(FormatError, match="here: event 0"):
        read_events({"events": [{**event, **change}]}, "here")


def test_names_without_letters_are_refused(notes):
    with pytest.raises(RequestError):
        notes.change_cluster(PLACE, "rename", [1], " \n ")
    assert not notes.path.exists()


def test_exported_rows_keep_the_files_numbers_beside_peoples_names(tmp_path):
    path = write_run(tmp_path / "run")
    before = (path.parent / ANALYSIS_FILE).read_bytes()
    with open_project(path) as project:
        dog = project.analysis("spray").category("dog")
        project.annotations.change_cluster(PLACE, "rename", [2], "snow")
        project.annotations.change_cluster(PLACE, "merge", [0, 2])
        found = rows(project, dog.index, {}, dog, "hdbscan")
        assert [row["cluster"] for row in found] == dog.clusters("hdbscan").tolist()
        named = {-1: "noise", 0: "snow", 1: "cluster 1", 2: "snow"}
        assert [row["cluster_name"] for row in found] == [named[row["cluster"]] for row in found]
    assert (path.parent / ANALYSIS_FILE).read_bytes() == before
