"""`backlight doctor`: what is there, what is missing, and how to get it."""

import json
import platform
from importlib import metadata

import pytest
import torch
from click.testing import CliRunner

from backlight.app.cli import main
from backlight.app.doctor import Requirement, requirements


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_it_tells_versions_device_and_plugins():
    found = json.loads(run("--json"))
    assert found["versions"]["backlight"] == metadata.version("backlight")
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["torch"] == metadata.version("torch")
    assert "missing" not in found["versions"].values()
    assert (found["device"]["cuda"] == "none") == (not torch.cuda.is_available())
    assert set(found["plugins"]) == {"rule", "composite", "canonizer", "processor", "panel"}
    assert all(set(states) == {"loaded"} for states in found["plugins"].values())
    assert found["problems"] == []


def test_it_names_third_parties_and_what_is_broken(install):
    install("good", "broken_import")
    found = json.loads(run("--json", code=1))
    assert "Backlight-Good 1.2.0" in found["third-party"]
    assert any("backlight-broken" in problem and "pip install" in problem for problem in found["problems"])
    text = run(code=1)
    assert "problems: \n  " in text
    assert "ModuleNotFoundError" in text


def test_the_text_has_a_line_for_every_fact():
    text = run()
    for part in ("versions:", "device:", "plugins:", "extras:", "problems: none", "  torch "):
        assert part in text


@pytest.mark.parametrize(
    ("requirement", "problem", "hint"),
    [
        (Requirement("no-such-lib", "no-such-lib>=1", ""), "no-such-lib is not installed", "no-such-lib>=1"),
        (
            Requirement("no-such-lib", "no-such-lib>=1; extra == 'fast'", "fast"),
            "not installed",
            "backlight[fast]",
        ),
        (
            Requirement("click", "click<1", ""),
            f"click is {metadata.version('click')}, expected <1",
            "click<1",
        ),
    ],
)
def test_what_is_missing_comes_with_a_command(requirement, problem, hint):
    assert problem in requirement.problem
    assert requirement.hint == f'pip install "{hint}"'


def test_requirements_are_those_of_the_metadata():
    found = list(requirements())
    assert {"torch", "dash", "click"} <= {r.name for r in found if not r.extra}
    assert {r.extra for r in found} >= {"", "docs", "dev"}
    assert all(r.problem is None for r in found if not r.extra)


def test_extras_are_installed_or_come_with_a_hint():
    for extra, state in json.loads(run("--json"))["extras"].items():
        assert state == "installed" or state.startswith(f'pip install "backlight[{extra}]" (lacks ')
