"""`backlight plugins` and `plugins check` over real fake distributions."""

import json

import pytest
from click.testing import CliRunner

from backlight.app.cli import main
from backlight.core import registry as module


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch):
    monkeypatch.setattr(module, "_default", None)


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["plugins", *arguments])
    assert result.exit_code == code, result.output
    return result


def table(text):
    head, *lines = (line.split() for line in text.split("\n\n")[0].splitlines())
    return [dict(zip(head, line, strict=False)) for line in lines]


def test_the_table_names_kind_name_distribution_version_state_and_module(install):
    install("good")
    rows = {row["name"]: row for row in table(run().stdout)}
    assert rows["soft"] == {
        "kind": "composite",
        "name": "soft",
        "dist": "Backlight-Good",
        "version": "1.2.0",
        "state": "available",
        "module": "bl_good.composites.soft",
    }
    assert rows["kmeans"]["dist"] == "backlight"
    assert len({line.index("bl_good") for line in run().stdout.splitlines() if "bl_good" in line}) == 1


@pytest.mark.parametrize("kind", ["rule", "composite", "canonizer", "processor", "panel"])
def test_kind_narrows_the_list(install, kind):
    install("good")
    kinds = [row["kind"] for row in table(run("--kind", kind).stdout)]
    assert kinds
    assert set(kinds) == {kind}


def test_json_holds_the_same_as_the_records(install):
    install("good")
    rows = json.loads(run("--json").stdout)
    assert [(r["kind"], r["name"], r["dist"]) for r in rows] == [
        (p.kind, p.name, p.dist) for p in module.plugins()
    ]
    assert set(rows[0]) == {"kind", "name", "dist", "version", "state", "module", "summary", "problem"}


def test_load_adds_summaries_and_reasons(install):
    install("good", "misspelt_hook")
    text = run("--load", "--kind", "processor").stdout
    assert "Subtract the mean over samples." in text
    assert (
        "failed: processor 'misspelt' of backlight-misspelt 0.1 (module bl_misspelt) cannot be used" in text
    )
    rows = {r["name"]: r for r in json.loads(run("--load", "--json").stdout)}
    assert rows["scale"]["state"] == "loaded"
    assert rows["scale"]["summary"] == "Multiply by a constant."
    assert "did you mean 'provide_processors'" in rows["misspelt"]["problem"]


def test_broken_lists_only_what_cannot_be_used(install):
    install("good", "wrong_api", "ambiguous_one", "ambiguous_two")
    rows = {r["name"]: r for r in json.loads(run("--broken", "--json").stdout)}
    assert rows["from-the-future"]["state"] == "failed"
    assert rows["twin"]["state"] == "ambiguous"
    assert not {"centre", "scale", "note"} & rows.keys()


def test_listing_shows_ambiguity_without_importing(install):
    install("ambiguous_one", "ambiguous_two")
    text = run().stdout
    assert text.count("ambiguous: processor 'twin' is offered by more than one distribution; write") == 2


def test_check_says_what_it_found(install):
    install("good")
    text = run("check", "scale").stdout
    assert text.startswith("processor 'scale' of Backlight-Good 1.2.0 is fine\n")
    for line in (
        "  module       bl_good.processors",
        "  factory      Scale",
        "  parameters   factor=2.0",
        "  cite         bach2015",
        "  summary      Multiply by a constant.",
    ):
        assert line in text
    assert run("check", "backlight-good/note").stdout.count("slot         bottom") == 1


def test_check_says_what_is_wrong_in_one_sentence(install):
    install("wrong_api", "broken_import")
    for name, reason in [("from-the-future", "plugin API 99"), ("raises", "the licence has expired")]:
        result = run("check", name, code=1)
        assert reason in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["scal"], "unknown plugin 'scal'; did you mean 'scale' or"),
        (["--kind", "rule", "absolut"], "unknown rule 'absolut'; did you mean 'absolute'?"),
        (["--kind", "panel", "scale"], "unknown panel 'scale'"),
        (["twin"], "write 'backlight-one/twin' or 'backlight-two/twin'"),
        (["other-dist/scale"], "unknown plugin 'other-dist/scale'"),
    ],
)
def test_check_of_an_unclear_name_is_a_wrong_request(install, arguments, reason):
    install("good", "ambiguous_one", "ambiguous_two")
    assert reason in run("check", *arguments, code=2).stderr


def test_check_of_a_name_that_two_kinds_share_covers_both(install, write_dist):
    source = (
        "from backlight.core.hookspecs import *\nfrom backlight.core.hookspecs import hookimpl\n"
        "@hookimpl\ndef provide_processors(): return [ProcessorSpec('both', dict)]\n"
        "@hookimpl\ndef provide_panels(): return [PanelSpec('both', list)]\n"
    )
    points = {"backlight.processors": "both = m_both_kinds", "backlight.viewers": "both = m_both_kinds"}
    write_dist("both", points, {"m_both_kinds": source})
    text = run("check", "both").stdout
    assert "processor 'both' of both 0.1 is fine" in text
    assert "panel 'both' of both 0.1 is fine" in text
    assert "panel" not in run("check", "--kind", "processor", "both").stdout


def test_options_before_check_are_refused():
    assert "options of `plugins check` come after it" in run("--json", "check", "epsilon", code=2).stderr
