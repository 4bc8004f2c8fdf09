"""Entry points are read from real metadata, without imports, and no broken file hides another's plugins."""

import subprocess
import sys
from importlib import metadata

import pytest

from backlight.core.discovery import Entry, canonical, discover
from backlight.core.hookspecs import GROUPS

P = "backlight.processors"


def found(dist):
    return sorted((e for e in discover() if canonical(e.dist) == dist), key=lambda e: e.name)


def test_built_ins_are_read_from_our_own_metadata():
    ours = metadata.distribution("backlight").entry_points
    expected = {(p.group, p.name, p.value) for p in ours if p.group in GROUPS}
    assert expected
    assert {(e.group, e.name, e.module) for e in discover() if e.built_in} == expected


def test_third_party_entries_carry_distribution_and_version_and_import_nothing(install):
    install("good")
    before = set(sys.modules)
    entries = found("backlight-good")
    assert {(e.kind, e.name) for e in entries} == {
        ("rule", "absolute"),
        ("composite", "soft"),
        ("canonizer", "idle"),
        ("processor", "centre"),
        ("processor", "scale"),
        ("panel", "note"),
    }
    assert {(e.dist, e.version) for e in entries} == {("Backlight-Good", "1.2.0")}
    assert not [m for m in set(sys.modules) - before if m.startswith("bl_")]


def test_one_malformed_file_hides_nobody(install):
    install("malformed", "good")
    with pytest.raises(TypeError):
        metadata.entry_points()  # why discovery does not rely on it
    assert len(found("backlight-good")) == 6
    assert [e.module for e in found("unknown")] == ["bl_malformed:factory", "bl_malformed", ""]
    assert {e.name for e in found("unknown")} == {"an-object", "fine", "this line is no entry point"}


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(write_dist):
    write_dist("twice", {P: "old = m_old"}, {}, version="1.0", at="later")
    write_dist("twice", {P: "new = m_new"}, {}, version="2.0", at="earlier")  # prepended, hence first
    assert [(e.name, e.version) for e in found("twice")] == [("new", "2.0")]


def test_a_first_copy_without_plugins_hides_the_second(write_dist):
    write_dist("gone", {P: "old = m_old"}, {}, version="1.0", at="later")
    write_dist("gone", {}, {}, version="2.0", at="earlier")
    assert found("gone") == []


def test_extras_and_spaces_are_not_part_of_the_module(write_dist):
    write_dist("spaced", {P: "  spaced   =  pkg.mod [fast]  "}, {})
    assert [(e.name, e.module) for e in found("spaced")] == [("spaced", "pkg.mod")]


def test_unreadable_text_is_skipped(write_dist):
    folder = write_dist("binary", {P: "x = y"}, {})
    next(folder.glob("*.dist-info/entry_points.txt")).write_bytes(b"[backlight.processors]\nx = \xff\xfe")
    assert found("binary") == []


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("centre", True),
        ("My_Dist/centre", True),
        ("my-dist/centre", True),
        ("other/centre", False),
        ("cent", False),
    ],
)
def test_names_users_write(name, fits):
    assert Entry(P, "centre", "m", "My.Dist", "1").called(name) is fits


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("centre", True),
        ("cen*", True),
        ("my-dist", True),
        ("My.Dist", True),
        ("my-dist/*", True),
        ("*/centre", True),
        ("dist", False),
        ("Centre", False),
    ],
)
def test_patterns(pattern, fits):
    assert Entry(P, "centre", "m", "My.Dist", "1").matches([pattern]) is fits


def test_discovery_imports_no_heavy_module():
    script = "import sys, backlight.core.discovery as d; list(d.discover()); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "sklearn", "dash", "yaml", "h5py", "rich"} & set(loaded)
