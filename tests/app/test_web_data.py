"""What panels serve to their own scripts: answers as JSON, sentences for what cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.app.explorer.guard import Guard
from backlight.app.web import make_app
from backlight.core.panel import PanelContext, from_typed

SCOPE = ["pets", "spray", "00000001"]


@pytest.fixture
def ask(project):
    client = make_app([project]).server.test_client()

    def asked(name, *args, text=None):
        query = {"args": json.dumps(args) if text is None else text}
        return client.get(f"/panel/embedding/{name}.json", query_string=query)

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
    answer = ask("points", text=text)
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("pets"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x", "y"]), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(name=st.sampled_from(["points", "groups"]), args=st.lists(anything, max_size=4))
def test_no_question_is_an_error_of_the_server(ask, name, args):
    assert ask(name, *args).status_code in (200, 400)


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
