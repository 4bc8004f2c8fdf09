"""The conformance suite on every built-in, a good third party, and plugins that are wrong on purpose."""

import pytest

from backlight.core.errors import PluginError
from backlight.core.registry import registry
from backlight.testing import Specimen, check_registry_entry, conformance

BUILT_IN = [entry for entry in registry().entries() if entry.built_in]


def scores(n):
    """Return what `suspicion` is fed with."""
    return {"contrast": float(n) / 4, "homophily": 0.5}


SPECIMENS = {
    ("processor", "descent-knn"): Specimen(modules=("pynndescent",)),
    ("processor", "metric-knn"): Specimen(others={"metric": "chebyshev"}),
    ("processor", "opentsne"): Specimen(modules=("openTSNE",)),
    ("processor", "suspicion"): Specimen(inputs=scores),
    ("processor", "umap"): Specimen(modules=("umap",)),
}
INSTALLED = {(entry.kind, entry.name) for entry in BUILT_IN}


@pytest.mark.parametrize(
    "case", conformance("backlight", {k: v for k, v in SPECIMENS.items() if k in INSTALLED}), ids=str
)
def test_built_in(case):
    case()


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda e: f"{e.kind}-{e.name}")
def test_built_ins_are_listed_as_what_they_are(entry):
    assert registry().load(entry).kind == entry.kind, "the listing before loading shows the wrong kind"


def test_every_kind_is_covered():
    assert {entry.kind for entry in BUILT_IN} == {"rule", "composite", "canonizer", "processor", "panel"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rule", "absolute"),
        ("composite", "soft"),
        ("canonizer", "idle"),
        ("processor", "scale"),
        ("panel", "backlight-good/note"),
    ],
)
def test_a_good_third_party(install, kind, name):
    install("good")
    check_registry_entry(kind, name)


@pytest.mark.parametrize("kind", ["rule", "composite", "canonizer", "processor", "panel"])
def test_the_whole_suite_on_a_good_third_party(install, kind):
    install("good")
    idle = {("canonizer", "idle"): Specimen(excused={"effect": "it is there to do nothing"})}
    cases = [case for case in conformance("backlight-good", idle) if case.subject.kind == kind]
    assert len(cases) > 3
    for case in cases:
        case()


def test_a_distribution_without_plugins_is_named():
    with pytest.raises(PluginError, match="plugins 'backlit'; did you mean 'backlight'"):
        conformance("backlit")


def test_a_specimen_of_nothing_is_named(install):
    install("good")
    with pytest.raises(PluginError, match="has no 'rule' 'absolut', for which there is"):
        conformance("backlight-good", {("rule", "absolut"): Specimen()})


@pytest.mark.parametrize(
    ("excused", "message"),
    [
        ({"shape": "because"}, "passes 'shape', from which it is excused \\(because\\); remove the excuse"),
        ({"shape": " "}, "excused from 'shape' without a reason; give one"),
    ],
)
def test_excuses_need_a_reason_and_a_failure(install, excused, message):
    install("good")
    specimens = {("rule", "absolute"): Specimen(excused=excused)}
    (case,) = [c for c in conformance("backlight-good", specimens) if str(c).endswith("absolute-shape")]
    with pytest.raises(AssertionError, match=message):
        case()


def test_what_lacks_an_optional_module_is_skipped(install):
    install("good")
    specimens = {("rule", "absolute"): Specimen(modules=("no_such_module",))}
    case = next(c for c in conformance("backlight-good", specimens) if c.subject.kind == "rule")
    with pytest.raises(pytest.skip.Exception, match="needs no_such_module, which is not installed"):
        case()


def test_an_excuse_from_an_unknown_check_is_named(install):
    install("good")
    with pytest.raises(PluginError, match="unknown check 'shap'; did you mean 'shape'"):
        conformance("backlight-good", {("rule", "absolute"): Specimen(excused={"shap": "typo"})})


HEAD = """
import itertools
from dataclasses import dataclass, field
from typing import Any
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor

counter = itertools.count()


class Base(Processor):
    stage = "score"
    yields = ()

    def __call__(self):
        return {}
"""
TAIL = """

@hookimpl
def provide_processors():
    return [ProcessorSpec("wrong", Wrong)]
"""


def wrong(body="", decorator="@dataclass(frozen=True)", base="(Base)", doc='"Do it."'):
    return f"{decorator}\nclass Wrong{base}:\n    {doc}\n    {body}\n"


STATE = "def __post_init__(self): object.__setattr__(self, 'cache', {})"
REPR = "a: int = 1\n    def __repr__(self): return 'Wrong(a=2)'"
LOCAL = "def f():\n  @dataclass(frozen=True)\n  class Wrong(Base): 'Do it.'\n  return Wrong\nWrong = f()"
WRONG = {
    "no docstring": (wrong("a: int = 1", doc=""), "write a docstring"),
    "needs a value": (wrong("size: int"), "needs size: give it defaults, or pass values"),
    "other contract": (wrong(base=""), "make it a subclass of Processor"),
    "not a dataclass": (wrong(decorator=""), "decorate Wrong with @dataclass(frozen=True)"),
    "not frozen": (
        wrong("a: int = 1", decorator="@dataclass"),
        "decorate Wrong with @dataclass(frozen=True)",
    ),
    "hidden state": (wrong(STATE), "keeps state beside its fields: cache"),
    "never equal": (wrong("a: int = field(default_factory=counter.__next__)"), "two built alike differ"),
    "a list": (wrong("a: Any = field(default_factory=list)"), "use tuples in place of lists"),
    "its own hash": (wrong("def __hash__(self): return id(self)"), "do not write __hash__ yourself"),
    "its own repr": (wrong("def __repr__(self): return '<it>'"), "its repr <it> cannot be evaluated"),
    "half a repr": (wrong(REPR), "its repr Wrong(a=2) builds something else"),
    "a local class": (LOCAL, "cannot be pickled"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_plugin_is_told_what_to_mend(write_dist, case):
    source, message = WRONG[case]
    write_dist(
        "wrong",
        {"backlight.processors": "wrong = m_wrong"},
        {"m_wrong": HEAD + source + TAIL},
    )
    with pytest.raises(AssertionError) as caught:
        check_registry_entry("processor", "wrong")
    assert message in str(caught.value)
    assert str(caught.value).startswith("processor 'wrong'")


def test_values_for_parameters_without_default(write_dist):
    source = HEAD + wrong("size: int") + TAIL
    write_dist("needy", {"backlight.processors": "wrong = m_needs"}, {"m_needs": source})
    check_registry_entry("processor", "wrong", size=3)
