"""The annotation file: a history that replays, merges, and loses nothing when several write."""

import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.core.errors import FormatError, RequestError
from backlight.core.projects.annotations import Annotations, tags_of
from backlight.core.projects.events import checked_name


@pytest.fixture
def notes(tmp_path):
    return Annotations(tmp_path / "project.yaml")


def test_nothing_is_written_before_something_is_noted(notes, tmp_path):
    assert notes.tags() == {}
    assert list(tmp_path.iterdir()) == []


def test_tags_grow_shrink_and_keep_their_history(notes, tmp_path):
    notes.tag("mark", [5, 3, 4, 9])
    notes.note("mark", "white corner")
    notes.untag("mark", [9, 100])
    notes.tag("mark", [12])
    notes.tag("other", [1])
    notes.remove("other")
    again = Annotations(tmp_path / "project.yaml").tags()
    assert list(again) == ["mark"]
    assert again["mark"].samples.tolist() == [3, 4, 5, 12]
    assert again["mark"].note == "white corner"
    assert [e.do for e in notes.history()] == ["tag", "note", "untag", "tag", "tag", "remove"]
    assert tags_of(again, np.array([3, 9])) == [["mark"], []]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=14))
def test_undo_and_redo_are_those_of_an_editor(tmp_path_factory, acts):
    """Against two stacks: a new change forgets what could be redone."""
    notes = Annotations(tmp_path_factory.mktemp("run") / "project.yaml")
    past, future = [[]], []
    for number, act in enumerate(acts):
        if act == "do":
            notes.tag("mark", [number])
            past, future = [*past, [*past[-1], number]], []
        elif act == "undo" and (last := notes.last()):
            notes.undo(last)
            past, future = past[:-1], [*future, past[-1]]
        elif act == "redo" and (undone := notes.undone()):
            notes.undo(undone)
            past, future = [*past, future[-1]], future[:-1]
        tags = notes.tags()
        assert (tags["mark"].samples.tolist() if tags else []) == past[-1]
        assert (notes.last() is None, notes.undone() is None) == (len(past) == 1, not future)


def test_what_somebody_undid_meanwhile_is_not_undone_twice(notes):
    notes.tag("mark", [3])
    notes.note("mark", "white square")
    other = Annotations(notes.path.with_name("project.yaml"))
    seen = notes.last()
    other.undo(seen)
    with pytest.raises(RequestError, match="somebody has changed this meanwhile"):
        notes.undo(seen)
    undone = notes.undone()
    other.tag("other", [4])
    with pytest.raises(RequestError, match="somebody has changed this meanwhile"):
        notes.undo(undone)
    assert notes.tags()["mark"].note == ""
    assert list(notes.tags()) == ["mark", "other"]


def write_many(path, worker):
    for k in range(15):
        Annotations(path).tag(f"tag {worker}", [100 * worker + k])


def test_several_writers_lose_nothing(tmp_path):
    path = tmp_path / "project.yaml"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(path, k)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    tags = Annotations(path).tags()
    assert {name: len(tag.samples) for name, tag in tags.items()} == {f"tag {k}": 15 for k in range(3)}
    assert len(Annotations(path).history()) == 45


def test_copies_merge_in_any_order_and_twice(tmp_path):
    one, two = Annotations(tmp_path / "one.yaml"), Annotations(tmp_path / "two.yaml")
    one.tag("a", [1])
    two.tag("a", [2])
    two.tag("b", [3])
    assert one.merge(two.history()) == 2
    assert one.merge(two.history()) == 0
    two.merge(one.history())
    for notes in (one, two):
        assert {name: t.samples.tolist() for name, t in notes.tags().items()} == {"a": [1, 2], "b": [3]}
    assert one.history() == two.history()


@pytest.mark.parametrize("name", ["", "  ", None, 7, "x" * 81, "a\0b", "\ud800"])
def test_names_that_cannot_be(notes, name):
    with pytest.raises(RequestError, match="1 to 80"):
        notes.tag(name, [1])
    assert not notes.path.exists()
    assert checked_name("  two   words ") == "two words"


def test_a_damaged_file_is_named_and_left_as_it_is(notes):
    notes.path.write_text('{"events": [')
    with pytest.raises(FormatError, match=r"project\.annotations\.json"):
        notes.tags()
    with pytest.raises(FormatError):
        notes.tag("a", [1])
    assert notes.path.read_text() == '{"events": ['
