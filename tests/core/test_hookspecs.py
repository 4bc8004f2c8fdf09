"""The hook specs are the contract: small, documented word for word, and without heavy imports."""

import dataclasses
import functools
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from backlight.core import hookspecs
from backlight.core.hookspecs import (
    GROUPS,
    SPECS,
    CompositeSpec,
    Kind,
    PanelSpec,
    PluginSpec,
    ProcessorSpec,
    RuleSpec,
)

ROOT = Path(__file__).parents[2]
HOOKS = {n: f for n, f in vars(hookspecs).items() if getattr(f, "backlight_spec", None)}


def make(size: int = 1):
    """Make one.

    More about it.
    """


def test_each_group_has_exactly_one_hook_and_each_kind_one_descriptor():
    assert sorted(HOOKS) == sorted(GROUPS.values())
    assert {spec.kind for spec in SPECS} == set(get_args(Kind))
    assert {spec.group for spec in SPECS} == set(GROUPS)


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_take_nothing_and_are_historic(name):
    assert not inspect.signature(HOOKS[name]).parameters
    assert HOOKS[name].backlight_spec["historic"]


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_is_documented_with_its_exact_signature(name):
    line = re.search(rf"^def {name}\(.*\).*:$", inspect.getsource(HOOKS[name]), re.MULTILINE)[0].rstrip(":")
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert line in pages


@pytest.mark.parametrize("spec", SPECS)
def test_each_descriptor_and_field_is_documented(spec):
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "authors").rglob("*.md"))
    assert f"`{spec.__name__}`" in pages
    for field in dataclasses.fields(spec):
        assert f"`{field.name}`" in pages


@pytest.mark.parametrize("spec", SPECS)
def test_descriptors_are_frozen_hashable_and_sound(spec):
    one = spec("a-name", make)
    assert one == spec("a-name", make)
    assert hash(one) == hash(spec("a-name", make))
    assert one.problem() is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "other"


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"name": "Two Words"}, "not kebab-case"),
        ({"name": "trailing-"}, "not kebab-case"),
        ({"name": ""}, "not kebab-case"),
        ({"name": "ümlaut"}, "not kebab-case"),
        ({"name": None}, "not kebab-case"),
        ({"factory": "make"}, "not callable"),
        ({"api_version": 2}, "written for plugin API 2"),
        ({"api_version": None, "name": None}, "written for plugin API None"),
        ({"cite": 1990}, "not a key of the bibliography"),
    ],
)
def test_problems_every_descriptor_can_have(spec, wrong, problem):
    assert problem in spec(**{"name": "a-name", "factory": make, **wrong}).problem()


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (RuleSpec("r", make, takes=()), "takes ()"),
        (RuleSpec("r", make, takes=["affine"]), "takes ['affine']"),
        (RuleSpec("r", make, takes=(1,)), "takes (1,)"),
        (PanelSpec("p", make, slot="top"), "slot 'top'"),
        (PanelSpec("p", make, slot=["side"]), "slot ['side']"),
        (PanelSpec("p", make, order="first"), "order 'first'"),
    ],
)
def test_problems_of_one_kind(spec, problem):
    assert problem in spec.problem()


def test_summary_is_the_first_paragraph_of_what_gets_built():
    assert ProcessorSpec("x", make).summary == "Make one."
    assert ProcessorSpec("x", functools.partial(make, size=2)).summary == "Make one."
    assert CompositeSpec("x", lambda: None).summary == ""


def test_the_base_descriptor_belongs_to_no_group():
    assert not hasattr(PluginSpec("x", make), "group")


def test_importing_the_contract_loads_no_library():
    script = "import sys, backlight.core.hookspecs; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "sklearn", "dash", "click", "importlib.metadata"} & set(loaded)
