"""Composites: matching, positions in execution order, round trips through files, mistakes named."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from backlight import attribute, composite, rule
from backlight.core.composite import AFFINE, BASE, KINDS, Composite, Entry, Match
from backlight.core.errors import EngineError, RequestError
from backlight.core.ops import Site
from backlight.core.rule import Rule
from nets import images, small

SITE = Site("conv2d", "convolution", "layer1.0.conv", "Conv2d", 3)


class TestMatch:
    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"kind": "convolution"},
            {"kind": "affine"},
            {"module": "Conv2d"},
            {"name": "layer1.*"},
            {"name": "layer?.[0-3].conv"},
            {"regex": r"layer\d\.0\.conv"},
            {"predicate": lambda site: site.index == 3},
            {"kind": "affine", "module": "Conv2d", "name": "*conv", "regex": ".*"},
        ],
    )
    def test_fits(self, fields):
        assert Match(**fields).fits(SITE)

    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": "linear"},
            {"module": "Linear"},
            {"name": "layer2.*"},
            {"name": "LAYER1.*"},
            {"regex": r"layer\d"},
            {"predicate": lambda site: False},
            {"kind": "convolution", "module": "Linear"},
        ],
    )
    def test_does_not_fit(self, fields):
        assert not Match(**fields).fits(SITE)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"kind": "convolutoin"}, "unknown kind 'convolutoin'; did you mean 'convolution'"),
            ({"regex": "("}, r"invalid regex '\('"),
            ({"position": "lst"}, "unknown position 'lst'; did you mean 'last'"),
            ({"position": 1.5}, "position 1.5, expected a whole number"),
            ({"position": True}, "position True, expected a whole number"),
            ({"kind": ["linear"]}, r"kind \['linear'\], expected a text"),
            ({"name": 3}, "name 3, expected a text"),
        ],
    )
    def test_mistakes_are_named(self, fields, message):
        with pytest.raises(RequestError, match=message):
            Match(**fields)


def rules_of(model: nn.Module, source: Composite) -> dict[str, str]:
    """Return the rule that took each module's operation."""
    found = attribute(model, images(), 0, composite=source, canonizers=())
    return {c.site.path: c.rule.split("(")[0] or c.treatment for c in found.coverage.operations}


class _Backwards(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(4, 4, 3)
        self.first = nn.Conv2d(3, 4, 3)
        self.middle = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.last(self.middle(self.first(x)))
        return self.head(x.flatten(1))


class TestPosition:
    @pytest.mark.parametrize(
        ("position", "path"),
        [
            (0, "first"),
            ("first", "first"),
            (1, "middle"),
            (2, "last"),
            (-1, "last"),
            ("last", "last"),
            (-3, "first"),
        ],
    )
    def test_counts_in_execution_order(self, position, path):
        entries = (
            Entry.of("flat", Match(kind="convolution", position=position)),
            Entry.of("z-plus", Match(kind="convolution")),
            Entry.of("epsilon", Match(kind="linear")),
        )
        found = rules_of(_Backwards().double(), Composite(entries))
        expected = dict.fromkeys(("first", "middle", "last"), "ZPlus") | {path: "Flat"}
        assert {k: found[k] for k in expected} == expected

    def test_a_position_nobody_has_matches_nothing(self):
        for position in (7, -7):
            nobody = Entry.of("flat", Match(kind="affine", position=position))
            found = rules_of(_Backwards().double(), composite("epsilon").after(nobody))
            assert "Flat" not in found.values()
            with pytest.raises(
                EngineError, match=r"has a rule for none of the 5 operations .* conv2d in first"
            ):
                rules_of(_Backwards().double(), Composite((nobody,)))

    @pytest.mark.parametrize("position", [-1, -2])
    def test_an_operation_left_over_keeps_its_gradient(self, position):
        torch.manual_seed(0)
        model, x = _Backwards().double(), images()
        given = Composite((Entry.of("epsilon", Match(kind="affine", position=position)),), start="slope")
        number = {-1: "head", -2: "last"}[position]
        direct = Composite((Entry.of("epsilon", Match(name=number)),), start="slope")
        found, expected = (attribute(model, x, 0, composite=c).relevance for c in (given, direct))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)

    def test_the_last_layer_of_a_merged_model(self):
        source = Composite(
            (Entry.of("flat", Match(kind="convolution", position="last")), *composite("epsilon").entries)
        )
        found = attribute(small(), images(), 0, composite=source)
        taken = {c.site.path: c.rule for c in found.coverage.operations if c.treatment == "rule"}
        assert taken["conv"].startswith("Epsilon")
        assert taken["block.0"].startswith("Flat")
        expected = Composite((Entry.of("flat", Match(name="block.0")), *composite("epsilon").entries))
        torch.testing.assert_close(
            found.relevance, attribute(small(), images(), 0, composite=expected).relevance, rtol=0, atol=0
        )


class TestPrecedence:
    def test_the_first_entry_that_fits_decides(self):
        two = Composite((Entry.of("epsilon", Match(name="first")), Entry.of("z-plus", Match(kind="affine"))))
        found = rules_of(_Backwards().double(), two)
        assert (found["first"], found["middle"]) == ("Epsilon", "ZPlus")

    def test_a_users_entries_go_in_front_of_a_preset(self):
        mine = composite("epsilon-plus").after(Entry.of("flat", Match(module="Conv2d", name="m*")))
        found = rules_of(_Backwards().double(), mine)
        assert (found["middle"], found["last"], found["head"]) == ("Flat", "ZPlus", "Epsilon")

    def test_a_rule_object_needs_no_registration(self):
        mine = composite("epsilon").after(Entry(Match(name="middle"), rule("gamma", gamma=2.0)))
        assert rules_of(_Backwards().double(), mine)["middle"] == "Gamma"


def matchers(*kinds):
    return st.builds(
        Match,
        kind=st.sampled_from((None, *kinds)),
        module=st.none() | st.text(min_size=1),
        name=st.none() | st.text(min_size=1),
        regex=st.none() | st.sampled_from(("layer[0-9]+", ".*", "a|b")),
        position=st.none() | st.integers(-5, 5),
    )


LAYER_RULES = st.one_of(
    st.tuples(st.just("epsilon"), st.fixed_dictionaries({}, optional={"epsilon": st.floats(0, 1)})),
    st.tuples(st.just("gamma"), st.fixed_dictionaries({"gamma": st.floats(0, 9)})),
    st.tuples(
        st.just("box"),
        st.fixed_dictionaries({"low": st.floats(-9, 0) | st.lists(st.floats(-9, 0), min_size=1)}),
    ),
    st.tuples(st.just("epsilon"), st.fixed_dictionaries({"zero_params": st.just(("bias",))})),
    st.tuples(st.sampled_from(["flat", "z-plus", "alpha-beta", "w-square"]), st.just({})),
)
OTHER_RULES = st.tuples(st.sampled_from(["pass", "norm", "half", "gate"]), st.just({}))
ENTRIES = st.one_of(
    st.builds(lambda m, r: Entry.of(r[0], m, **r[1]), matchers("affine", *AFFINE), LAYER_RULES),
    st.builds(lambda m, r: Entry.of(r[0], m, **r[1]), matchers(*KINDS), OTHER_RULES),
)
COMPOSITES = st.builds(
    Composite,
    st.lists(ENTRIES, min_size=1, max_size=5).map(tuple),
    st.text(),
    st.sampled_from(["value", "slope"]),
)


class TestKinds:
    def test_an_entry_without_kind_is_for_what_its_rule_is_written_for(self):
        mine = composite({"extends": "epsilon-plus", "entries": [{"rule": "gamma", "name": "block.*"}]})
        told = {
            c.site.path: c.rule for c in attribute(small(), images(), 0, composite=mine).coverage.operations
        }
        assert told["block.0"].startswith("Gamma")
        assert told["block.2"].startswith("Pass")

    def test_positions_count_those_alone(self):
        first = Composite((Entry.of("flat", Match(position=1)), *composite("epsilon").entries))
        told = attribute(small(), images(), 0, composite=first).coverage.operations
        assert [c.site.path for c in told if c.rule.startswith("Flat")] == ["block.0"]

    def test_a_rule_object_that_is_installed_too(self):
        mine = composite("epsilon").after(Entry(Match(name="block.*"), rule("gamma")))
        assert attribute(small(), images(), 0, composite=mine).relevance.isfinite().all()

    def test_a_rule_for_linear_maps_on_another_kind_is_refused(self):
        data = {"entries": [{"rule": "gamma", "kind": "activation"}]}
        with pytest.raises(
            RequestError, match="rule 'gamma' is written for batch-norm, convolution and linear"
        ):
            composite(data)


class TestFiles:
    @given(COMPOSITES)
    def test_plain_data_and_back(self, original):
        data = original.to_dict()
        assert composite(data) == original
        assert composite(json.loads(json.dumps(data))) == original
        assert composite(yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(data))))) == original
        assert hash(composite(data)) == hash(original)

    @pytest.mark.parametrize("preset", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma-box"])
    def test_every_preset_survives_json(self, preset):
        original = composite(preset)
        assert composite(json.loads(json.dumps(original.to_dict()))) == original

    def test_toml_yaml_and_json_say_the_same(self, tmp_path):
        (tmp_path / "c.toml").write_text(
            'name = "mine"\nextends = "epsilon-gamma-box"\nparameters = { low = [-1.0, -2.0, -3.0] }\n'
            '[[entries]]\nrule = "flat"\nkind = "affine"\nposition = "first"\n'
            '[[entries]]\nrule = "epsilon"\nepsilon = 0.1\nzero_params = ["bias"]\nname = "head*"\n'
        )
        data = {
            "name": "mine",
            "extends": "epsilon-gamma-box",
            "parameters": {"low": [-1.0, -2.0, -3.0]},
            "entries": [
                {"rule": "flat", "kind": "affine", "position": "first"},
                {"rule": "epsilon", "epsilon": 0.1, "zero_params": ["bias"], "name": "head*"},
            ],
        }
        (tmp_path / "c.json").write_text(json.dumps(data))
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(data))
        toml, other, last = (composite(tmp_path / f"c.{end}") for end in ("toml", "json", "yaml"))
        assert toml == other == last == composite(data) == composite(str(tmp_path / "c.toml"))
        assert toml.name == "mine"
        assert toml.entries[2:] == composite("epsilon-gamma-box", low=(-1.0, -2.0, -3.0)).entries
        assert attribute(small(), images(), 0, composite=toml).relevance.isfinite().all()

    def test_the_common_base_closes_a_mapping(self):
        entry = {"rule": "epsilon", "kind": "linear"}
        assert composite({"entries": [entry]}).entries[1:] == BASE
        assert len(composite({"entries": [entry], "base": False}).entries) == 1

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"entreis": []}, "unknown key 'entreis'; did you mean 'entries'"),
            ({"entries": [{"rule": "epsilom"}]}, "unknown rule 'epsilom'; did you mean 'epsilon'"),
            ({"entries": [{"rule": "gamma", "gama": 1}]}, "unknown parameter 'gama'; did you mean 'gamma'"),
            ({"entries": [{"kind": "linear"}]}, "entry 0 lacks a 'rule'"),
            ({"entries": ["epsilon"]}, "entry 0 lacks a 'rule'"),
            ({"entries": [{"rule": "epsilon", "predicate": "x"}]}, "unknown parameter 'predicate'"),
            ({"entries": {"rule": "epsilon"}}, "entries of type dict, expected a list"),
            ({"entries": [{"rule": "epsilon", "kind": "lin"}]}, "unknown kind 'lin'"),
            ({"extends": "epsilon-plas"}, "unknown composite 'epsilon-plas'; did you mean 'epsilon-plus'"),
            ({"extends": "epsilon-plus", "parameters": {"eps": 1}}, "unknown parameter 'eps'"),
            ({}, "no entries and extends no preset"),
            (
                {"entries": [{"rule": "pass"}], "start": "valeu"},
                "unknown start 'valeu'; did you mean 'value'",
            ),
        ],
    )
    def test_mistakes_are_named(self, data, message):
        with pytest.raises(RequestError, match=message):
            composite(data)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("c.toml", "entries = [", r"c\.toml cannot be read"),
            ("c.yaml", "a: [", r"c\.yaml cannot be read"),
            ("c.yaml", "[" * 5000, r"c\.yaml cannot be read"),
            ("c.json", "[1, 2]", r"c\.json holds list, expected a table"),
        ],
    )
    def test_broken_files_are_named(self, tmp_path, name, text, message):
        (tmp_path / name).write_text(text)
        with pytest.raises(RequestError, match=message):
            composite(tmp_path / name)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(RequestError, match=r"composite file .*none\.toml does not exist"):
            composite(tmp_path / "none.toml")

    def test_what_is_no_data_is_refused(self):
        @dataclass(frozen=True)
        class Mine(Rule):
            def propagate(self, op, relevance):
                return relevance

        with pytest.raises(RequestError, match="predicate cannot be written"):
            Composite((Entry.of("pass", Match(predicate=lambda site: True)),)).to_dict()
        with pytest.raises(RequestError, match="is no registered rule"):
            Composite((Entry(Match(), Mine()),)).to_dict()

    def test_a_registered_rule_object_is_data(self):
        original = Composite((Entry(Match(kind="linear"), rule("gamma", gamma=0.5)),))
        assert composite(original.to_dict()).entries[0].build() == rule("gamma", gamma=0.5)


class TestNames:
    def test_a_rules_name_means_that_rule_everywhere(self):
        found = rules_of(_Backwards().double(), composite("gamma", gamma=0.5))
        assert {found[k] for k in ("first", "middle", "last", "head")} == {"Gamma"}

    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("epsilon-plus-falt", {}, "did you mean 'epsilon-plus-flat'"),
            ("epsilon-gamma-box", {"hihg": 1.0}, "unknown parameter 'hihg'; did you mean 'high'"),
            ("gamma", {"gama": 1.0}, "rule 'gamma' has unknown parameter 'gama'"),
        ],
    )
    def test_mistakes_are_named(self, name, parameters, message):
        with pytest.raises(RequestError, match=message):
            composite(name, **parameters)
