"""Plugins that are wrong on purpose: each fails the check it should and is told what to mend."""

import pytest

from backlight.testing import Specimen, conformance
from backlight.testing.nets import attending, normalised

RULE = """
import torch
from dataclasses import dataclass
from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.rule import Rule

calls = []

@dataclass(frozen=True)
class Wrong(Rule):
    "Be wrong."

    def propagate(self, op, relevance):
        BODY

@hookimpl
def provide_rules():
    return [RuleSpec("wrong", Wrong, takes=("linear",), conserves=CONSERVES)]
"""
RIGHT = "return op.contributions(relevance / op.output)"
RULES = {
    "shape": ("return relevance", "expected|relevance of shape (3, 4) for an input of shape (3, 6)"),
    "dtype": ("return op.vjp(relevance)[0].double().half()", "make new tensors by new_zeros or with dtype="),
    "purity": ("return op.input.mul_(op.transpose(relevance))", "it changed input 0 in place"),
    "determinism": ("return torch.randn_like(op.input)", "called twice, it returned different relevance"),
    "batch": ("return op.input * relevance.sum()", "reduce over the axes of a sample"),
    "conservation": (
        "return 2 * op.contributions(relevance / op.output)",
        "mend the formula, `absorbed` or the",
    ),
    "residue": (
        "op.weight.data.mul_(2); return op.vjp(relevance)[0]",
        "the values of 'linear.weight' has changed",
    ),
    "value": ("return op.input", "decorate Wrong with @dataclass(frozen=True)"),
}
CANONIZER = """
from dataclasses import dataclass
import torch
import torch.nn.functional as F
from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl

@dataclass(frozen=True)
class Wrong(Canonizer):
    "Be wrong."

    def applies(self, model):
        BODY

    def merge(self, call, before, derived):
        MERGE

@hookimpl
def provide_canonizers():
    return [CanonizerSpec("wrong", Wrong)]
"""
LEAVE = "return None"
TWICE = "return (2 * before.weight, before.bias) if call.site.kind == 'batch-norm' else None"
CANONIZERS = {
    "outputs": ("return True", TWICE, "answer with operations that compute the same"),
    "effect": ("return False", LEAVE, "rewrote no operation of any model it was shown"),
    "residue": ("model.seen = True; return True", LEAVE, "the attributes of the model has changed"),
}
PROCESSOR = """
from dataclasses import dataclass
import numpy as np
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor

@dataclass(frozen=True)
class Wrong(Processor):
    "Be wrong."

    factor: float = 2.0
    stage = "preprocessing"
    yields = ("features",)

    def __call__(self, *, features):
        BODY

    MORE

@hookimpl
def provide_processors():
    return [ProcessorSpec("wrong", Wrong)]
"""
HIDDEN = "def parameters(self): return {}"
PROCESSORS = {
    "outputs": ("return {'feature': features}", "", "returned ['feature'], but declares ['features']"),
    "purity": (
        "features *= self.factor; return {'features': features}",
        "",
        "changed its input 'features' in place",
    ),
    "seed": ("return {'features': features + np.random.rand()}", "", "give it a field `seed` and draw from"),
    "cache-key": ("return {'features': features}", HIDDEN, "factor does not change the cache key"),
    "few-samples": ("return {'features': features - features[0]}", "", "fails for n = 0 with IndexError"),
    "dtypes": ("assert features.dtype != np.float32; return {'features': features}", "", "float32"),
}
PANEL = """
import dash
from dataclasses import dataclass
from dash import Input, Output, html
from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Panel

@dataclass(frozen=True)
class Wrong(Panel):
    "Be wrong."

    title = "Wrong"

    def layout(self, context):
        LAYOUT

    def callbacks(self, callback, context):
        BODY

@hookimpl
def provide_panels():
    return [PanelSpec("wrong", Wrong)]
"""
PLACE = "return html.Div(id=context.id('own'))"
SHOW = "def show(category): return category.upper()"
OWN = "Output(context.id('own'), 'children'), Input(context.store('category'), 'data')"
PANELS = {
    "layout": ("return html.Div({1, 2})", "pass", "its layout cannot be sent to the browser"),
    "ids": ("return html.Div(id='mine')", "pass", "takes the id 'mine'; make ids by context.id(...)"),
    "empty-data": (
        PLACE,
        f"callback({OWN})(lambda category: category.upper())",
        "fails when nothing is chosen",
    ),
    "globals": (PLACE, f"dash.callback({OWN})(lambda category: category)", "use the `callback` that"),
    "globals, in the browser": (
        PLACE,
        f"dash.clientside_callback('x => x', {OWN})",
        "use the `callback` that",
    ),
}


@pytest.fixture
def told(write_dist):
    """Install one wrong plugin and return what one check says of it."""

    def tell(group, source, check, specimen=None):
        write_dist(
            "wrong-dist",
            {f"backlight.{group}": "wrong = m_wrong_of_its_kind"},
            {"m_wrong_of_its_kind": source},
        )
        kind = {"viewers": "panel"}.get(group, group.removesuffix("s"))
        cases = conformance("wrong-dist", {(kind, "wrong"): specimen or Specimen()})
        with pytest.raises(AssertionError) as caught:
            next(case for case in cases if case.check == check)()
        return str(caught.value)

    return tell


@pytest.mark.parametrize("check", RULES)
def test_a_wrong_rule(told, check):
    body, message = RULES[check]
    source = RULE.replace("BODY", body).replace("CONSERVES", "'exactly'")
    if check == "value":
        source = source.replace("@dataclass(frozen=True)", "")
    said = told("rules", source, check)
    assert said.startswith("rule 'wrong-dist/wrong'")
    assert message.rpartition("|")[2] in said


@pytest.mark.parametrize("text", ["mostly", "", "nothing", "nothing:", "not exactly"])
def test_a_rule_that_promises_nothing_that_can_be_checked(told, text):
    source = RULE.replace("BODY", RIGHT).replace("CONSERVES", repr(text))
    said = told("rules", source, "conservation")
    assert f"declares to conserve {text!r}, which promises nothing that can be checked" in said


def test_a_rule_whose_bias_takes_what_it_does_not_tell(told):
    source = RULE.replace("BODY", RIGHT).replace("CONSERVES", "'up to bias'")
    said = told("rules", source, "conservation")
    assert "a bias: " in said
    assert "`absorbed` accounts for nothing" in said


def test_a_rule_that_differs_from_its_reference(told):
    source = RULE.replace("BODY", RIGHT).replace("CONSERVES", "'up to bias'")
    specimen = Specimen(reference=lambda op, relevance: op.input * (relevance @ op.weight))
    assert "differs from the reference" in told("rules", source, "reference", specimen)


@pytest.mark.parametrize("check", CANONIZERS)
def test_a_wrong_canonizer(told, check):
    body, merge, message = CANONIZERS[check]
    said = told("canonizers", CANONIZER.replace("BODY", body).replace("MERGE", merge), check)
    assert said.startswith("canonizer 'wrong-dist/wrong'")
    assert message in said


def test_a_canonizer_that_takes_foreign_models_for_its_own(told):
    source = CANONIZER.replace("BODY", "return True").replace("MERGE", LEAVE)
    source = source.replace(
        "    def merge", "    def decompose(self, f): return {F.linear: linear}.get(f)\n    def merge"
    )
    source += "\ndef linear(input, weight, bias): return input @ weight.T + bias\n"
    specimen = Specimen(models=(normalised, attending))
    assert "of the foreign model 'plain'" in told("canonizers", source, "foreign", specimen)


@pytest.mark.parametrize("check", PROCESSORS)
def test_a_wrong_processor(told, check):
    body, more, message = PROCESSORS[check]
    said = told("processors", PROCESSOR.replace("BODY", body).replace("MORE", more), check)
    assert said.startswith("processor 'wrong-dist/wrong'")
    assert message in said


def test_a_processor_that_falls_over_a_count_larger_than_n(told):
    body = "return {'features': np.partition(features, self.k, axis=0) if len(features) else features}"
    source = PROCESSOR.replace("factor: float = 2.0", "k: int = 0").replace("MORE", "")
    said = told("processors", source.replace("BODY", body), "few-samples")
    assert "fails for n = 3, k = 4 with ValueError" in said


def test_a_processor_with_inputs_nobody_knows(told):
    source = (
        PROCESSOR.replace("BODY", "return {}").replace("MORE", "").replace("*, features", "*, temperature")
    )
    said = told("processors", source, "outputs")
    assert "needs temperature, which the suite has no sample of; pass a Specimen with `inputs`" in said


@pytest.mark.parametrize("check", PANELS)
def test_a_wrong_panel(told, check):
    layout, body, message = PANELS[check]
    source = PANEL.replace("LAYOUT", layout).replace("BODY", body)
    said = told("viewers", source, check.partition(",")[0])
    assert said.startswith("panel 'wrong-dist/wrong'")
    assert message in said


METHOD = """
from dataclasses import dataclass
import torch
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor

@dataclass(frozen=True)
class Wrong(Processor):
    "Be wrong."

    stage = "attribution"
    yields = ("relevance",)

    def __call__(self, differentiate, inputs, target=None):
        passed = differentiate(inputs, target)
        BODY

@hookimpl
def provide_processors():
    return [ProcessorSpec("wrong", Wrong)]
"""
METHODS = {
    "outputs": ("return {'relevance': passed.relevance.sum(2, keepdim=True)}", "returned relevance of shape"),
    "purity": ("differentiate.model.seen = 1; return {'relevance': passed.relevance}", "has changed"),
    "seed": ("return {'relevance': passed.relevance + torch.rand(1)}", "two runs with one seed differ"),
    "dtypes": ("return {'relevance': passed.relevance.double()}", "turned float32 into torch.float64"),
}


@pytest.mark.parametrize("check", METHODS)
def test_a_wrong_attribution_method(told, check):
    body, message = METHODS[check]
    assert message in told("processors", METHOD.replace("BODY", body), check)
