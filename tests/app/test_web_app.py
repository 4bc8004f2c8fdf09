"""Putting the application together: projects, what the toolbar may choose from, the command."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import h5py
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backlight.app.cli.explore import command
from backlight.app.explorer.catalogue import catalogue
from backlight.app.explorer.guard import Guard
from backlight.app.explorer.layout import Card, document
from backlight.app.web import make_app
from backlight.core.errors import FormatError, RequestError
from backlight.core.panel import PanelContext, from_typed, selected, selection, typed_array, typed_indices
from backlight.core.project import ANALYSIS_FILE, PROJECT_FILE, open_project
from backlight.core.registry import Registry
from synthetic_run import write_run


def test_catalogue_starts_at_the_highest_tau_and_the_map_for_the_eye(project):
    entries, problems = catalogue([project])
    analysis = entries[0]["analyses"][0]
    assert problems == []
    assert analysis["start"] == "00000001"
    category = analysis["categories"][1]
    assert (category["name"], category["size"], category["clusterings"][0]) == ("dog", 60, "hdbscan")
    assert [(e["name"], e["axes"]) for e in category["embeddings"]] == [
        ("tsne", [0, 1]),
        ("spectral", [1, 2]),
    ]


def test_a_truncated_analysis_is_reported_and_the_rest_works(tmp_path):
    good, bad = write_run(tmp_path / "good", name="good"), write_run(tmp_path / "bad", name="bad")
    file = bad.parent / ANALYSIS_FILE
    file.write_bytes(file.read_bytes()[:1000])
    with open_project(good) as first, open_project(bad) as second:
        entries, problems = catalogue([first, second])
        assert [len(entry["analyses"][0]["categories"]) for entry in entries] == [3, 0]
        assert len(problems) == 1
        assert "analysis.h5" in problems[0]
        assert make_app([first, second]).server.test_client().get("/_dash-layout").status_code == 200


def test_projects_need_analyses_and_names_of_their_own(run, tmp_path):
    other = write_run(tmp_path / "other")
    with open_project(run) as project, open_project(other) as twin:
        with pytest.raises(RequestError, match="two projects are called 'pets'"):
            make_app([project, twin])
        with pytest.raises(RequestError, match="no project"):
            make_app([])
    without_analyses(run)
    with (
        open_project(run) as project,
        pytest.raises(RequestError, match="no analyses yet; run `backlight analyze"),
    ):
        make_app([project])


def without_analyses(run):
    document = yaml.safe_load((run / PROJECT_FILE).read_text())
    document["project"]["analyses"] = []
    (run / PROJECT_FILE).write_text(yaml.safe_dump(document))


def test_panels_reach_own_ids_and_shared_stores_only(project):
    from dash import ALL, Input, Output, State

    context = PanelContext("mine", {"pets": project})
    guard = Guard(context)
    guard(Output("mine--a", "children"), Input("store--category", "data"))
    guard(
        Output(context.item("row", ALL), "title"),
        [Input("mine--b", "value")],
        state=[State("store--colour", "data")],
    )
    writes = Output("store--selection", "data")
    guard.clientside("(x) => x", writes, Input("mine--a", "n_clicks"))
    assert writes.allow_duplicate
    for stranger in ("other--a", "mine", "store--other", "app--x", {"type": "other--row", "index": ALL}):
        with pytest.raises(ValueError, match="a panel may use"):
            guard(Output("mine--a", "children"), Input(stranger, "value"))
        with pytest.raises(ValueError, match="a panel may use"):
            guard.clientside(
                "() => 0", output=Output(stranger, "children"), inputs={"x": Input("mine--a", "value")}
            )


def test_context_finds_categories_and_says_what_is_missing(project):
    context = PanelContext("mine", {"pets": project})
    assert context.category("pets", "spray", "00000001").name == "dog"
    for wrong in (("pet", "spray", "dog"), ("pets", "sprai", "dog"), ("pets", "spray", "dogg")):
        with pytest.raises(RequestError, match="did you mean"):
            context.category(*wrong)
    with pytest.raises(KeyError):
        context.store("sort")


def test_selections_are_compact_and_read_back():
    chosen = selection(("a", "b", "c"), [3, 70000], "x")
    assert (chosen["scope"], chosen["label"]) == (["a", "b", "c"], "x")
    assert selected(chosen).tolist() == [3, 70000]
    assert selected(selection((), [], "")).tolist() == selected(None).tolist() == []
    with pytest.raises(RequestError, match="array type"):
        selected({"indices": {"dtype": "O", "bdata": ""}})


def test_names_on_the_page_stay_data_and_a_script_runs_once():
    entries = [{"name": "</script><b>", "model": "{%renderer%}", "dataset": "50 %", "analyses": []}]
    cards = [
        Card("a", "A", "side", None, scripts=["one();"]),
        Card("b", "B", "side", None, scripts=["one();"]),
    ]
    found = document("<html>{%scripts%}{%renderer%}", cards, entries)
    assert found.count("<script>one();</script>") == found.count("{%renderer%}") == 1
    text = found.partition('id="app--opened">')[2].partition("</script>")[0]
    assert json.loads(text)["catalogue"] == entries


@given(st.sets(st.integers(0, 5000), max_size=400), st.integers(0, 10**9))
def test_ascending_selections_are_bits_where_that_is_shorter(numbers, first):
    indices = np.array(sorted(numbers), dtype=np.int64) + first
    sent = typed_indices(indices)
    np.testing.assert_array_equal(from_typed(sent), indices)
    assert len(sent["bdata"]) <= max(len(typed_array(indices)["bdata"]), 24)


def test_a_whole_class_takes_a_bit_each_and_the_reach_is_limited():
    sent = typed_indices(np.arange(3, 1_000_003))
    assert len(sent["bdata"]) < 170_000
    shuffled = np.array([5, 3, 4])
    assert from_typed(typed_indices(shuffled)).tolist() == shuffled.tolist()
    far = {"dtype": "bits", "first": 0, "bdata": base64.b64encode(bytes(3 << 20)).decode()}
    with pytest.raises(RequestError, match="more than 16,777,216 samples"):
        from_typed(far)


def test_command_refuses_what_cannot_be_explored(run, tmp_path):
    result = CliRunner().invoke(command, [str(tmp_path / "nowhere")])
    assert isinstance(result.exception, RequestError)
    assert "no run directory or project file" in str(result.exception)
    without_analyses(run)
    result = CliRunner().invoke(command, [str(run), "--no-browser"])
    assert "has no analyses yet" in str(result.exception)
    (run / PROJECT_FILE).write_text("project: 3")
    assert isinstance(CliRunner().invoke(command, [str(run)]).exception, FormatError)
    assert CliRunner().invoke(command, [str(run), "--port", "70000"]).exit_code == 2


HELLO = """
from dataclasses import dataclass
from dash import Input, Output, html
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Panel

@dataclass(frozen=True)
class Hello(Panel):
    title = "Hello"
    def layout(self, context):
        return html.Div("from elsewhere", id=context.id("text"))
    def callbacks(self, callback, context):
        @callback(Output(context.id("text"), "children"), Input(context.store("category"), "data"))
        def show(category):
            return f"looking at {category}"

@hookimpl
def provide_panels():
    return [PanelSpec("hello", Hello)]
"""


def test_a_third_partys_panel_appears_by_being_installed(project, write_dist, monkeypatch):
    write_dist("hello_panel", {"backlight.viewers": "hello = hello_panel"}, {"hello_panel": HELLO})
    monkeypatch.setattr("backlight.app.explorer.factory.registry", Registry)
    client = make_app([project]).server.test_client()
    assert "from elsewhere" in client.get("/_dash-layout").text
    assert "hello--text.children" in client.get("/_dash-dependencies").text


def test_command_says_in_one_line_that_its_port_is_taken(run):
    code = "from backlight.app.cli import main; main()"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = [sys.executable, "-c", code, "explore", str(run), "--port", port, "--no-browser"]
        result = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert f"port {port}" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_command_prints_its_address_and_stops_on_interrupt(run):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    code = "from backlight.app.cli import main; main()"
    line = [sys.executable, "-c", code, "explore", str(run), "--port", "0", "--no-browser"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        with urllib.request.urlopen(address) as answer:
            assert b"Backlight" in answer.read()
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=20)
        finally:
            process.kill()  # or leaving the block would wait for one that does not obey
    assert process.returncode == 0
    assert err == ""


def test_a_class_that_lost_its_index_is_reported(run):
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        del file["00000000/index"]
    with open_project(run) as project:
        entries, problems = catalogue([project])
    assert [c["name"] for c in entries[0]["analyses"][0]["categories"]] == ["dog", "<b>fish</b>"]
    assert "has no 'index'" in problems[0]
