"""The registry against real fake distributions: laziness, isolation, ambiguity, blocking, threads."""

import os
import pickle
import re
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from backlight.core import registry as module
from backlight.core.errors import FormatError, PluginError, RequestError
from backlight.core.loading import TRACE_VARIABLE
from backlight.core.registry import ALLOW_VARIABLE, BLOCK_VARIABLE, Plugin, Registry, restricted

P = "backlight.processors"
GOOD = ("absolute", "soft", "idle", "centre", "scale", "note")
OFFER = """
from backlight.core.hookspecs import *
from backlight.core.hookspecs import hookimpl
"""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for variable in (BLOCK_VARIABLE, ALLOW_VARIABLE, TRACE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def entry(registry, name, kind=None):
    return next(e for e in registry.entries(kind) if e.name == name)


def state(registry, name):
    return registry.state(entry(registry, name))


def hook(body, name="provide_processors", arguments="", marker="@hookimpl"):
    return f"{OFFER}\n{marker}\ndef {name}({arguments}):\n    {body}\n"


def more(*arguments, **keywords):
    return hook(*arguments, **keywords).replace(OFFER, "")


# --- laziness


def test_listing_imports_nothing(install):
    install("good", "broken_import", "slow_import")
    registry = Registry()
    before = set(sys.modules)
    assert "centre" in registry.names("processor")
    assert {state(registry, n) for n in ("centre", "raises", "exits", "slow")} == {"available"}
    assert all(p.state != "failed" for p in registry.plugins())
    assert not [m for m in set(sys.modules) - before if m.startswith("bl_")]


def test_a_look_up_imports_that_module_only(install):
    install("good")
    registry = Registry()
    spec = registry.spec("processor", "scale")
    assert (spec.name, spec.summary, spec.cite) == ("scale", "Multiply by a constant.", "bach2015")
    assert {m for m in sys.modules if m.startswith("bl_")} == {"bl_good", "bl_good.processors"}


def test_a_module_commits_all_its_names_at_once(install):
    install("good")
    registry = Registry()
    registry.spec("processor", "scale")
    assert state(registry, "centre") == "loaded"
    assert state(registry, "note") == "available"


def test_every_kind_of_the_good_distribution_builds(install):
    install("good")
    registry = Registry()
    for kind, name in [
        ("rule", "absolute"),
        ("composite", "soft"),
        ("canonizer", "idle"),
        ("processor", "centre"),
        ("panel", "note"),
    ]:
        assert registry.create(kind, name) == registry.create(kind, f"backlight-good/{name}")
    assert registry.create("processor", "scale", factor=3.0).factor == 3.0


def test_a_name_is_found_back_from_a_factory(install):
    install("good")
    registry = Registry()
    factory = registry.spec("processor", "scale").factory
    assert registry.name_of("processor", factory) == "scale"
    assert registry.name_of("rule", factory) is None


def test_records_are_frozen_sorted_and_picklable(install):
    install("good")
    records = Registry().plugins()
    assert pickle.loads(pickle.dumps(records)) == records
    with pytest.raises(AttributeError):
        records[0].name = "other"
    order = ["rule", "composite", "canonizer", "processor", "panel"]
    assert list(records) == sorted(records, key=lambda p: (order.index(p.kind), p.name))
    note = next(p for p in records if p.name == "note")
    assert note == Plugin("panel", "note", "Backlight-Good", "1.2.0", "available", "bl_good.viewers")


# --- failures stay where they are


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("needs-missing", "No module named 'a_library_that_is_not_installed'; try `pip install a_library"),
        ("raises", "RuntimeError: the licence has expired; try `pip install --upgrade backlight-broken`"),
        ("exits", "SystemExit: goodbye"),
        (
            "no-such-module",
            "No module named 'bl_no_such_module'; try `pip install --upgrade backlight-broken`",
        ),
    ],
)
def test_a_broken_import_is_remembered_and_raised_when_used(install, name, reason):
    install("broken_import", "good")
    registry = Registry()
    for _ in range(2):
        with pytest.raises(PluginError, match=re.escape(reason)) as caught:
            registry.create("processor", name)
        message = str(caught.value)
        assert f"processor {name!r} of backlight-broken 0.3.0 (module bl_" in message
        assert f"{BLOCK_VARIABLE}=backlight-broken/{name}" in message
        assert "\n" not in message
    assert state(registry, name) == "failed"
    assert registry.create("processor", "scale").factor == 2.0


def test_load_all_never_raises_and_loads_the_rest(install):
    install(
        "good", "broken_import", "ambiguous_one", "ambiguous_two", "wrong_api", "misspelt_hook", "malformed"
    )
    registry = Registry()
    registry.load_all()
    third = {p.name: p.state for p in registry.plugins() if p.dist != "backlight"}
    assert {n for n, s in third.items() if s == "loaded"} == {*GOOD, "fine"}
    assert third["twin"] == "ambiguous"
    failed = {n for n, s in third.items() if s == "failed"}
    assert failed == {
        "needs-missing", "raises", "exits", "no-such-module", "broken-panel",
        "from-the-future", "misspelt", "an-object", "this line is no entry point",
    }  # fmt: skip


def test_a_failed_look_up_raises_afresh_so_that_tracebacks_do_not_grow(install):
    install("broken_import")
    registry = Registry()
    lengths = []
    for _ in range(5):
        with pytest.raises(PluginError) as caught:
            registry.spec("processor", "raises")
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
        assert isinstance(caught.value.__cause__, RuntimeError)
    assert len(set(lengths)) == 1


def test_ctrl_c_during_an_import_is_no_failure_of_the_plugin(write_dist):
    write_dist("stopped", {P: "stopped = m_stopped"}, {"m_stopped": "raise KeyboardInterrupt"})
    registry = Registry()
    with pytest.raises(KeyboardInterrupt):
        registry.spec("processor", "stopped")
    assert state(registry, "stopped") == "available"


def test_wrong_api_version(install):
    install("wrong_api")
    with pytest.raises(PluginError, match="written for plugin API 99, this Backlight speaks 1"):
        Registry().spec("processor", "from-the-future")


def test_misspelt_hook_gets_a_suggestion(install):
    install("misspelt_hook")
    with pytest.raises(
        PluginError, match="unknown hook 'provide_processor'; did you mean 'provide_processors'"
    ):
        Registry().spec("processor", "misspelt")


def test_an_entry_point_that_names_an_object_or_nothing(install):
    install("malformed")
    registry = Registry()
    for name in ("an-object", "this line is no entry point"):
        with pytest.raises(PluginError, match="must name a module, not"):
            registry.spec("processor", name)


SOUND = "return [ProcessorSpec('x', dict)]"
BAD = {
    "arguments": (hook(SOUND, arguments="registry"), "provide_processors takes arguments"),
    "arguments with defaults": (hook(SOUND, arguments="n=3"), "provide_processors takes arguments"),
    "no hook": ("x = 1", "implements no provide_processors; is the function there and marked with @hookimpl"),
    "not marked": (hook(SOUND, marker=""), "implements no provide_processors"),
    "none": (hook("return None"), "provide_processors returned NoneType, expected a list"),
    "dictionary": (hook("return {}"), "returned dict, expected a list"),
    "generator": (hook("yield ProcessorSpec('x', dict)"), "returned generator, expected a list"),
    "empty": (hook("return []"), "does not provide 'x', only nothing"),
    "other name": (hook("return [ProcessorSpec('y', dict)]"), "provides 'y', which no entry point of bad"),
    "two of one name": (hook("return [ProcessorSpec('x', dict)] * 2"), "provides 'x' twice"),
    "other group": (hook("return [RuleSpec('x', dict)]"), "a RuleSpec in its list, expected ProcessorSpec"),
    "base class": (hook("return [PluginSpec('x', dict)]"), "returned a PluginSpec in its list"),
    "a class": (hook("return [ProcessorSpec]"), "returned a type in its list"),
    "string": (hook("return ['x']"), "returned a str in its list"),
    "name in capitals": (hook("return [ProcessorSpec('X', dict)]"), "name 'X' is not kebab-case"),
    "name is no text": (hook("return [ProcessorSpec(3, dict)]"), "name 3 is not kebab-case"),
    "no factory": (hook("return [ProcessorSpec('x', None)]"), "factory None is not callable"),
    "cite": (hook("return [ProcessorSpec('x', dict, cite=None)]"), "cite None is not a key"),
    "hook raises": (hook("return 1 / 0"), "ZeroDivisionError: division by zero"),
    "hook exits": (hook("raise SystemExit(3)"), "SystemExit: 3"),
    "wrapper": (hook("return (yield)", marker="@hookimpl(wrapper=True)"), "PluginValidationError"),
    "twice": (
        hook(SOUND) + more(SOUND, "again", marker="@hookimpl(specname='provide_processors')"),
        "implements provide_processors twice",
    ),
    "hook of another group": (
        hook(SOUND) + more("return []", "provide_panels"),
        "implements 'provide_panels', but no entry point",
    ),
    "asks for itself": (
        hook("from backlight.core.registry import registry; return [registry().spec('processor', 'x')]"),
        "asks for one of its own names while it is being loaded",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_module_registers_nothing_at_all(write_dist, monkeypatch, case):
    source, reason = BAD[case]
    write_dist("bad", {P: "x = m_bad"}, {"m_bad": source})
    registry = Registry()
    monkeypatch.setattr(module, "_default", registry)
    with pytest.raises(PluginError, match=re.escape(reason)):
        registry.spec("processor", "x")
    for each in registry.entries():
        if each.dist == "bad":
            assert registry.state(each) == "failed"
    assert registry._manager.get_plugins() == set()


def test_a_broken_neighbour_in_one_module_fails_the_module_whole(write_dist):
    source = hook("return [ProcessorSpec('fine', dict), ProcessorSpec('wrong', dict, api_version=0)]")
    write_dist("half", {P: "fine = m_half\nwrong = m_half"}, {"m_half": source})
    registry = Registry()
    with pytest.raises(PluginError, match="plugin API 0"):
        registry.spec("processor", "fine")
    assert state(registry, "wrong") == "failed"


def test_slots_and_takes_are_validated(write_dist):
    panel = hook("return [PanelSpec('p', dict, slot='top')]", "provide_panels")
    rule = hook("return [RuleSpec('r', dict, takes='affine')]", "provide_rules")
    write_dist("slots", {"backlight.viewers": "p = m_slots"}, {"m_slots": panel})
    write_dist("takes", {"backlight.rules": "r = m_takes"}, {"m_takes": rule})
    with pytest.raises(PluginError, match="slot 'top' is none of main, side, bottom"):
        Registry().spec("panel", "p")
    with pytest.raises(PluginError, match="takes 'affine' is not a tuple"):
        Registry().spec("rule", "r")


# --- one module, several entry points


def test_a_module_named_by_two_groups_serves_both(write_dist):
    source = hook("return [ProcessorSpec('both', dict)]")
    source += more("return [PanelSpec('both', list)]", "provide_panels")
    write_dist("both", {P: "both = m_both", "backlight.viewers": "both = m_both"}, {"m_both": source})
    registry = Registry()
    assert registry.create("processor", "both") == {}
    assert state(registry, "both") == "loaded"
    assert registry.state(entry(registry, "both", "panel")) == "available"
    assert registry.create("panel", "both") == []


def test_a_module_named_by_two_distributions_serves_both(write_dist):
    source = hook("return [ProcessorSpec('a', dict), ProcessorSpec('b', list)]")
    write_dist("first", {P: "a = m_shared\nb = m_shared"}, {"m_shared": source})
    write_dist("second", {P: "b = m_shared"}, {})
    registry = Registry()
    assert registry.create("processor", "a") == {}
    with pytest.raises(PluginError, match="write 'first/b' or 'second/b'"):
        registry.create("processor", "b")
    assert registry.create("processor", "second/b") == []


def test_optional_hooks_for_another_version_are_let_pass(write_dist):
    source = hook(SOUND) + more("return 1", "provide_tunes", "volume", "@hookimpl(optionalhook=True)")
    write_dist("newer", {P: "x = m_newer"}, {"m_newer": source})
    assert Registry().create("processor", "x") == {}


def test_a_hook_may_ask_the_registry_for_another_plugin(write_dist, install, monkeypatch):
    install("good")
    body = "from backlight.core.registry import registry; f = registry().spec('processor', 'scale').factory"
    source = hook(f"{body}; return [ProcessorSpec('derived', f)]")
    write_dist("derived", {P: "derived = m_derived"}, {"m_derived": source})
    registry = Registry()
    monkeypatch.setattr(module, "_default", registry)
    assert registry.create("processor", "derived", factor=5.0).factor == 5.0
    assert state(registry, "scale") == "loaded"


# --- names


def test_unknown_names_get_close_matches(install):
    install("good")
    with pytest.raises(PluginError, match="unknown processor 'scal'; did you mean 'scale'"):
        Registry().create("processor", "scal")
    with pytest.raises(PluginError, match="unknown kind of plugin 'rul'; did you mean 'rule'"):
        Registry().create("rul", "scale")


def test_two_distributions_offering_one_name_is_an_error_until_one_is_named(install):
    install("ambiguous_one", "ambiguous_two")
    registry = Registry()
    with pytest.raises(PluginError, match="write 'backlight-one/twin' or 'backlight-two/twin'"):
        registry.create("processor", "twin")
    assert "bl_one" not in sys.modules
    assert registry.spec("processor", "backlight-two/twin").summary == "The twin of backlight-two."
    assert registry.spec("processor", "Backlight_One/twin").summary == "The twin of backlight-one."
    assert {p.state for p in registry.plugins() if p.name == "twin"} == {"ambiguous"}


def test_blocking_one_of_two_settles_it(install):
    install("ambiguous_one", "ambiguous_two")
    registry = Registry(block=["backlight-one"])
    assert registry.spec("processor", "twin").summary == "The twin of backlight-two."


def test_a_third_party_cannot_take_a_built_in_name_silently(write_dist):
    write_dist("thief", {P: "kmeans = m_thief"}, {"m_thief": hook("return [ProcessorSpec('kmeans', dict)]")})
    registry = Registry()
    with pytest.raises(PluginError, match="write 'backlight/kmeans' or 'thief/kmeans'"):
        registry.spec("processor", "kmeans")
    assert registry.find("processor", "backlight/kmeans").built_in


def test_one_distribution_declaring_a_name_twice(write_dist):
    write_dist("stutter", {P: "x = m_one\nx = m_two"}, {})
    with pytest.raises(PluginError, match=r"declared twice by stutter \(modules m_one and m_two\)"):
        Registry().spec("processor", "x")


def test_composites_and_rules_share_a_group_but_not_a_kind(install, write_dist):
    install("good")
    source = hook("return [CompositeSpec('hidden', dict)]", "provide_rules")
    write_dist("elsewhere", {"backlight.rules": "hidden = m_hidden"}, {"m_hidden": source})
    registry = Registry()
    assert "soft" in registry.names("composite")
    assert "hidden" in registry.names("rule")  # metadata cannot tell
    with pytest.raises(PluginError, match="'hidden' is a composite, not a rule"):
        registry.spec("rule", "hidden")
    assert registry.create("composite", "hidden") == {}
    assert "hidden" in registry.names("composite")
    assert "hidden" not in registry.names("rule")


def test_loading_one_kind_imports_its_group_only_and_finds_hidden_ones(install, write_dist):
    install("good")
    source = hook("return [CompositeSpec('hidden', dict)]", "provide_rules")
    write_dist("elsewhere", {"backlight.rules": "hidden = m_hidden"}, {"m_hidden": source})
    composites = Registry().plugins("composite", load=True)
    assert {p.name: p.state for p in composites}.items() >= {"hidden": "loaded", "soft": "loaded"}.items()
    assert not {"bl_good.processors", "bl_good.viewers"} & set(sys.modules)


# --- block and allow


def test_blocked_plugins_are_never_imported_and_say_so(install, monkeypatch):
    install("good", "broken_import")
    monkeypatch.setenv(BLOCK_VARIABLE, " backlight-broken , note ")
    registry = Registry(block=["cent*"])
    registry.load_all()
    assert {p.name for p in registry.plugins() if p.state == "blocked"} >= {"raises", "note", "centre"}
    assert "centre" not in registry.names("processor")
    assert not {"bl_raises", "bl_exits", "bl_good.viewers"} & set(sys.modules)
    for kind, name in [("processor", "centre"), ("panel", "note")]:
        with pytest.raises(PluginError, match="is blocked by --block"):
            registry.spec(kind, name)
        with pytest.raises(PluginError, match="is blocked by --block"):
            registry.load(entry(registry, name))
    assert state(registry, "scale") in ("available", "loaded")


def test_allow_restricts_third_parties_only(install, monkeypatch):
    install("good", "ambiguous_one")
    monkeypatch.setenv(ALLOW_VARIABLE, "backlight-good/scale")
    registry = Registry()
    assert registry.create("processor", "scale").factor == 2.0
    for name in ("centre", "twin"):
        with pytest.raises(PluginError, match="is blocked"):
            registry.spec("processor", name)
    assert all(registry.state(e) == "available" for e in registry.entries() if e.built_in)


def test_restricted_reaches_child_processes_and_is_undone(install, monkeypatch):
    install("good")
    monkeypatch.setenv(BLOCK_VARIABLE, "note")
    before = module.registry()
    with restricted(block=["scale"], allow=["backlight-good"]) as registry:
        assert module.registry() is registry
        assert os.environ[BLOCK_VARIABLE] == "note,scale"
        assert os.environ[ALLOW_VARIABLE] == "backlight-good"
        assert registry.names("processor").count("scale") == 0
    assert module.registry() is before
    assert os.environ[BLOCK_VARIABLE] == "note"
    assert ALLOW_VARIABLE not in os.environ


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"facto": 1.0}, "processor 'scale' has unknown parameter 'facto'; did you mean 'factor'"),
        ({"factor": 0}, "processor 'scale': factor must not be 0"),
    ],
)
def test_wrong_parameters_are_a_wrong_request(install, parameters, reason):
    install("good")
    with pytest.raises(RequestError, match=re.escape(reason)):
        Registry().create("processor", "scale", **parameters)


def test_a_worded_refusal_of_a_factory_is_passed_on_as_it_is(write_dist):
    source = hook("return [ProcessorSpec('picky', make)]") + (
        "\nfrom backlight.core.errors import FormatError\n"
        "def make(path=''):\n    raise FormatError('x.toml lacks the key rule')\n"
    )
    write_dist("picky", {P: "picky = m_picky"}, {"m_picky": source})
    with pytest.raises(FormatError, match=r"^x\.toml lacks the key rule$"):
        Registry().create("processor", "picky")


def test_a_mistyped_kind_is_named():
    with pytest.raises(PluginError, match="unknown kind of plugin 'rules'; did you mean 'rule'"):
        module.plugins("rules")


def test_parameters_that_are_needed_are_named(write_dist):
    source = (
        hook("return [ProcessorSpec('needy', make)]")
        + "\ndef make(low, high, *, cut=1):\n    return low, high\n"
    )
    write_dist("needy", {P: "needy = m_needy"}, {"m_needy": source})
    registry = Registry()
    with pytest.raises(PluginError, match="processor 'needy' needs 'high'"):
        registry.create("processor", "needy", low=0)
    assert registry.create("processor", "needy", low=0, high=1) == (0, 1)


# --- tracing and threads


def test_tracing_names_the_module_and_its_hooks(install, monkeypatch, capsys):
    install("good")
    Registry().spec("processor", "scale")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(TRACE_VARIABLE, "1")
    Registry().spec("processor", "scale")
    trace = capsys.readouterr().err
    assert "load bl_good.processors" in trace
    assert "provide_processors" in trace
    assert "finish provide_processors" in trace
    monkeypatch.setenv(TRACE_VARIABLE, "0")
    Registry().spec("processor", "scale")
    assert capsys.readouterr().err == ""


def test_many_threads_import_a_slow_module_once(install, monkeypatch):
    install("slow_import")
    monkeypatch.setattr(sys, "bl_slow_imports", 0, raising=False)
    registry = Registry()
    with ThreadPoolExecutor(8) as pool:
        specs = list(pool.map(lambda _: registry.spec("processor", "slow"), range(16)))
    assert len(set(map(id, specs))) == 1
    assert sys.bl_slow_imports == 1


def test_a_slow_import_does_not_hold_up_others(install, write_dist, monkeypatch):
    install("good")
    gate = threading.Event()
    monkeypatch.setattr(sys, "bl_gate", gate, raising=False)
    source = "import sys\nsys.bl_gate.wait(60)\n" + hook("return [ProcessorSpec('gated', dict)]")
    write_dist("gated", {P: "gated = m_gated"}, {"m_gated": source})
    registry = Registry()
    gated = threading.Thread(target=registry.spec, args=("processor", "gated"), daemon=True)
    gated.start()
    assert registry.create("processor", "scale").factor == 2.0
    assert "gated" in registry.names("processor")
    assert gated.is_alive()
    gate.set()
    gated.join(60)
    assert state(registry, "gated") == "loaded"


def test_a_module_that_asks_the_registry_while_imported_by_others_does_not_deadlock(
    write_dist, install, monkeypatch
):
    install("good")
    source = (
        "import time\nfrom backlight.core.registry import registry\ntime.sleep(0.2)\n"
        "registry().spec('processor', 'scale')\n" + hook("return [ProcessorSpec('asks', dict)]")
    )
    write_dist("asks", {P: "asks = m_asks"}, {"m_asks": source})
    registry = Registry()
    monkeypatch.setattr(module, "_default", registry)
    direct = threading.Thread(target=__import__, args=("m_asks",), daemon=True)
    through = threading.Thread(target=registry.spec, args=("processor", "asks"), daemon=True)
    direct.start()
    through.start()
    direct.join(20)
    through.join(20)
    assert not direct.is_alive()
    assert not through.is_alive()
    assert state(registry, "asks") == "loaded"
