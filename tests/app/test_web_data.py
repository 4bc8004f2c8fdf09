"""What panels serve to their own scripts: answers as JSON, sentences for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.app.explorer.guard import Guard
from backlight.app.web import make_app
from backlight.core.panel import PanelContext, from_typed, typed_indices

SCOPE = ["pets", "spray", "00000001"]


@pytest.fixture
def ask(project):
    client = make_app([project]).server.test_client()

    def asked(name, *args, text=None, panel="embedding", post=False):
        text = json.dumps(args) if text is None else text
        address = f"/panel/{panel}/{name}.json"
        return client.post(address, data=text) if post else client.get(address, query_string={"args": text})

    return asked


def test_points_and_groups_of_a_class(ask, project):
    dog = project.analysis("spray").category("dog")
    points = ask("points", SCOPE, {"name": "tsne", "x": 0, "y": 1}).json
    np.testing.assert_array_equal(from_typed(points["y"]), dog.embedding("tsne").all()[:, 1])
    np.testing.assert_array_equal(from_typed(points["index"]), dog.index)
    groups = ask("groups", SCOPE, "hdbscan", "cluster").json
    np.testing.assert_array_equal(from_typed(groups["ids"]), dog.clusters("hdbscan"))
    # What a class does not have the toolbar is about to replace.
    assert ask("points", SCOPE, {"name": "umap", "x": 0, "y": 1}).json is None


def test_a_page_of_samples_is_told_about_in_the_order_asked_for(ask, project):
    dog = project.analysis("spray").category("dog")
    sent, pages = typed_indices(dog.index), -(-len(dog.index) // 24)
    args = ("index-down", "", "hdbscan", pages - 1, True)
    first = ask("page", SCOPE, sent, *args, panel="samples", post=True).json
    assert first["total"] == len(dog.index)
    last = sorted(dog.index.tolist())[: len(dog.index) - 24 * (pages - 1)]
    assert [sample["index"] for sample in first["samples"]] == last[::-1]
    clusters = dict(zip(dog.index.tolist(), dog.clusters("hdbscan").tolist(), strict=True))
    names = ["noise" if clusters[i] < 0 else f"cluster {clusters[i]}" for i in last[::-1]]
    assert [sample["cluster"] for sample in first["samples"]] == names
    # One page further the first one comes again, as the buttons turn them; in the address it is the same.
    again = [ask("page", SCOPE, sent, *args[:3], number, True, panel="samples").json for number in (0, pages)]
    assert again[0] == again[1] != first


def test_clusters_with_sizes_and_their_members(ask, project):
    dog = project.analysis("spray").category("dog")
    found = ask("list", *SCOPE, "hdbscan", panel="clusters").json
    ids = dog.clusters("hdbscan")
    assert {row["cluster"]: row["size"] for row in found["rows"]} == {
        int(c): int(n) for c, n in zip(*np.unique(ids, return_counts=True), strict=True)
    }
    for row in found["rows"]:
        sent = ask("members", *SCOPE, "hdbscan", row["cluster"], panel="clusters").json
        np.testing.assert_array_equal(from_typed(sent), dog.index[ids == row["cluster"]])
    assert ask("list", *SCOPE, "gone", panel="clusters").json is None


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((["pets", "spray", "00000009"], "hdbscan", "cluster"), "unknown category '00000009'"),
        ((["cats", "spray", "00000001"], "hdbscan", "cluster"), "project 'cats'"),
        ((["pets"], "hdbscan", "cluster"), "reload the page"),
        ((), "reload the page"),
    ],
)
def test_what_is_not_there_gets_a_sentence(ask, args, sentence):
    answer = ask("groups", *args)
    assert answer.status_code == 400
    assert sentence in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("text", ["", "{", "7", "null", '{"a": 1}', "[" * 20000, "\x00", '["a", {}]'])
def test_malformed_questions_get_a_sentence(ask, text):
    for post in (False, True):
        answer = ask("points", text=text, post=post)
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("pets"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x", "y"]), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    asked=st.sampled_from(
        [("embedding", "points"), ("embedding", "groups"), ("samples", "page"), ("clusters", "members")]
    ),
    args=st.lists(anything, max_size=7),
)
def test_no_question_is_an_error_of_the_server(ask, asked, args):
    panel, name = asked
    assert ask(name, *args, panel=panel).status_code in (200, 400)


def test_names_are_plain_and_given_once():
    guard = Guard(PanelContext("mine", {}))
    guard.data("points", list)
    for name in ("points", "../x", "", "A b"):
        with pytest.raises(ValueError, match="names are of"):
            guard.data(name, list)


def test_a_panel_without_data_has_no_address(project):
    client = make_app([project], panels=[]).server.test_client()
    assert client.get("/panel/embedding/points.json?args=[]").mimetype != "application/json"
    assert not (Path(project.root) / "panel").exists()
