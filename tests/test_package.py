"""The package as a whole: import layers, what importing it loads, and its public names."""

import ast
import importlib
import inspect
import itertools
import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import backlight

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
HEAVY = {
    "torch", "torchvision", "sklearn", "scipy", "numpy", "hdbscan", "h5py", "yaml", "dash", "flask", "plotly",
    "PIL", "rich", "joblib", "pandas", "matplotlib",
}  # fmt: skip
FAMILIES = ("rules", "composites", "canonizers", "processors", "viewers")


def modules(package):
    """Yield (dotted name, path) of every module below a package."""
    for path in sorted((SOURCE / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path, name):
    """Return every module that a file imports, wherever in the file, with relative imports resolved."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def trespasses(package, forbidden):
    """List `importer -> imported` for every import of a forbidden package or anything below it."""
    return [
        f"{name} -> {target}"
        for name, path in modules(package)
        for target in sorted(imported(path, name))
        if any(target == f or target.startswith(f + ".") for f in forbidden)
    ]


def test_core_imports_no_plugin_no_app_and_no_testing():
    assert not trespasses("backlight.core", ["backlight.plugins", "backlight.app", "backlight.testing"])


def test_app_reaches_plugins_through_the_registry_only():
    assert not trespasses("backlight.app", ["backlight.plugins", "backlight.testing"])


def test_testing_knows_contracts_only():
    assert not trespasses("backlight.testing", ["backlight.plugins", "backlight.app"])


@pytest.mark.parametrize("family", FAMILIES)
def test_plugins_import_core_and_their_own_family_only(family):
    others = [f"backlight.plugins.{other}" for other in FAMILIES if other != family]
    assert not trespasses(f"backlight.plugins.{family}", [*others, "backlight.app", "backlight.testing"])


def test_every_family_of_plugins_is_known_here():
    folders = {p.name for p in (SOURCE / "backlight/plugins").iterdir() if (p / "__init__.py").exists()}
    assert folders == set(FAMILIES)


def test_the_layer_check_sees_imports_of_every_form(tmp_path):
    path = tmp_path / "backlight" / "core" / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import a.b\nfrom . import c\nfrom ..plugins.rules import d\ndef f():\n    from e import g\n"
    )
    found = imported(path, "backlight.core.bad")
    assert {"a.b", "backlight.core.c", "backlight.plugins.rules.d", "e.g"} <= found


def run(*arguments, **environment):
    """Run a fresh interpreter; return (stdout, top-level modules it had loaded when it ended)."""
    script = (
        "import atexit, json, sys\n"
        "loaded = lambda: json.dumps(sorted({m.split('.')[0] for m in sys.modules}))\n"
        "atexit.register(lambda: print(loaded(), file=sys.stderr))\n"
        "sys.argv = ['backlight', *sys.argv[1:]]\n" + arguments[0]
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


MAIN = "from backlight.app.cli import main; main(prog_name='backlight')"


@pytest.mark.parametrize(
    "arguments",
    [
        ("import backlight",),
        ("import backlight; dir(backlight); backlight.__version__",),
        ("import backlight; backlight.plugins()",),
        (MAIN, "--help"),
        (MAIN, "--version"),
        (MAIN, "plugins"),
        (MAIN, "plugins", "--json"),
        (MAIN, "plugins", "--kind", "rule"),
        (MAIN, "plugins", "check", "--help"),
    ],
    ids=lambda arguments: " ".join(arguments).replace(MAIN, "backlight"),
)
def test_what_must_answer_at_once_loads_nothing_heavy(arguments):
    _, loaded = run(*arguments)
    assert not HEAVY & loaded


def test_listing_stays_light_beside_slow_and_broken_distributions():
    dists = [
        str(ROOT / "tests/dists" / name) for name in ("slow_import", "broken_import", "malformed", "good")
    ]
    output, loaded = run(MAIN, "plugins", PYTHONPATH=os.pathsep.join(dists))
    assert "bl_slow" in output
    assert not {name for name in loaded if name.startswith("bl_")} | (HEAVY & loaded)


def test_version_comes_from_the_metadata_alone():
    assert backlight.__version__ == metadata.version("backlight")
    assert "0.1.0" not in "".join(path.read_text(encoding="utf-8") for _, path in modules("backlight"))


def test_every_dependency_is_pinned_to_a_version_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(p): v for p, _, v in (line.partition("==") for line in lines if line[0] != "#")}
    assert all(pins.values())
    assert "backlight" not in pins
    for requirement in map(Requirement, wanted):
        if requirement.name != "backlight":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_public_names_are_one_list():
    assert sorted(backlight._HOMES) == sorted(backlight.__all__) == list(backlight.__all__)
    assert set(backlight.__all__) <= set(dir(backlight))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = backlight.nonsense


@pytest.mark.parametrize("name", backlight.__all__)
def test_public_names_resolve_and_have_a_docstring_and_a_page(name):
    value = getattr(importlib.import_module(backlight._HOMES[name]), name)
    assert getattr(backlight, name) is value or name == "plugins"  # see below
    assert inspect.getdoc(value)
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8").splitlines()
    assert {f"::: backlight.{name}", f"::: {backlight._HOMES[name]}.{name}"} & set(page)


def test_plugins_can_be_called_before_and_after_a_built_in_is_imported():
    script = """
import backlight
from backlight.core.registry import registry
before = backlight.plugins("processor")
registry().create("processor", "kmeans")
after = backlight.plugins("processor")
assert backlight.plugins is __import__("sys").modules["backlight.plugins"]
print(len(before) == len(after) > 5, {p.state for p in after if p.name == "kmeans"})
"""
    assert run(script)[0] == "True {'loaded'}\n"


def test_public_names_are_typed_for_checkers():
    tree = ast.parse((SOURCE / "backlight/__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == backlight._HOMES
    assert (SOURCE / "backlight/py.typed").exists()
