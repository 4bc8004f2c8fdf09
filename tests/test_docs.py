"""What README and docs promise is true: their examples run, their keys and options exist."""

import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import click
import pytest

import docs_blocks
from backlight.app.cli import main
from backlight.core.registry import Registry, registry
from backlight.testing import check_registry_entry, suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(ROOT / "README.md", "python")
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "heatmap.png").stat().st_size > 0
    assert capsys.readouterr().out


def test_the_plugin_of_the_author_guide_works(write_dist):
    page = ROOT / "docs/authors/writing.md"
    module = next(b for b in blocks(page, "python") if "hookimpl" in b)
    (points,) = tomllib.loads(blocks(page, "toml")[0])["project"]["entry-points"].items()
    group, names = points
    source = {"robust": module}
    lines = "\n".join(f"{name} = {target.split('.')[-1]}" for name, target in names.items())
    write_dist("guide", {group: lines}, source)
    assert list(names) == ["robust-scale"]
    check_registry_entry("processor", "robust-scale")
    scaled = Registry().create("processor", "robust-scale")([[0.0], [1.0], [2.0], [3.0], [4.0]])["features"]
    assert scaled.ravel().tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("entry", [e for e in registry().entries() if e.built_in], ids=lambda e: e.key)
def test_every_citation_has_an_entry_in_the_bibliography(entry):
    keys = re.findall(
        r"^## (\w+)$", (ROOT / "docs/bibliography.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert keys == sorted(keys)
    cite = registry().load(entry).cite
    assert not cite or cite in keys


def shown(page):
    """Yield (verb, rest) of every command in a page's text and console blocks."""
    yield from re.findall(r"`backlight ([a-z]+)([^`]*)`", page.read_text(encoding="utf-8"))
    for line, _ in docs_blocks.commands(page):
        yield from re.findall(r"^backlight ([a-z]+)(.*)", line.replace("\\\n", " "))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_and_option_that_a_page_shows_exists(page):
    for verb, rest in shown(page):
        command = main.get_command(click.Context(main), verb)
        assert command is not None, verb
        context = click.Context(command)
        words = rest.split()
        if isinstance(command, click.Group) and words and command.get_command(context, words[0]):
            command = command.get_command(context, words[0])
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")):
        assert page.relative_to(ROOT / "docs").with_suffix(".md").as_posix() in text


def test_every_kind_has_a_generated_page():
    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs/reference").glob("*.md"))
    kinds = {entry.kind for entry in registry().entries()}
    assert {f"<!-- plugins: {kind} -->" for kind in kinds} <= set(pages.splitlines())


def test_the_repository_names_no_machine():
    """No absolute path of a home or work directory, and no package host, in any file of ours."""
    pattern = re.compile(
        r"(/home/|/root/|/work/|/tmp/|index-url|https?://(?!semver\.org)[^ )>\"']*(?:pypi|index|simple)\b)"
    )
    files = [*PAGES, ROOT / "constraints.txt", ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".ci/run"]
    for file in files:
        assert not pattern.search(file.read_text(encoding="utf-8")), file


def test_the_moving_guide_names_plugins_that_exist():
    rows = re.findall(r"^\| .* \| (.*) \| .*\|$", (ROOT / "docs/guide/moving.md").read_text("utf-8"), re.M)
    named = {name for cell in rows for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", cell)}
    assert len(named) > 30
    assert named - {entry.name for entry in registry().entries()} == {"stabiliser"}


def test_the_guide_on_choosing_names_plugins_that_exist():
    text = (ROOT / "docs/guide/choosing.md").read_text("utf-8")
    cells = re.findall(r"^\|(.*?)\|(.*?)\|", text, re.M)
    named = {name for row in cells for name in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", " ".join(row))}
    assert len(named) > 12
    assert named <= {entry.name for entry in registry().entries()}


def test_the_module_of_every_built_in_gives_its_formula():
    """The reference shows the module's docstring."""
    for entry in registry().entries():
        if entry.built_in:
            module = inspect.getmodule(registry().load(entry).factory)
            assert inspect.getdoc(module), entry


def test_every_conformance_check_is_described():
    for home in suite.HOMES.values():
        for name, check in importlib.import_module(home).CHECKS.items():
            assert inspect.getdoc(check), (home, name)


PACKAGES = ("backlight.core", "backlight.testing", "backlight.app", "backlight.plugins")


def public(module):
    """Yield (name, thing) of every public class, function and method that a module defines."""
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", None) == module.__name__
        if name.startswith("_") or not own or not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        yield name, thing
        if inspect.isclass(thing):
            for attribute, member in vars(thing).items():
                if not attribute.startswith("_") and inspect.isfunction(member):
                    yield f"{name}.{attribute}", getattr(thing, attribute)


@pytest.mark.parametrize("package", PACKAGES)
def test_all_public_names_are_documented(package):
    """Docs coverage is 100 %: modules, classes, functions and methods; a method may inherit its docstring."""
    root = importlib.import_module(package)
    found = [root.__name__, *(m.name for m in pkgutil.walk_packages(root.__path__, f"{package}."))]
    missing = []
    for dotted in found:
        if dotted.endswith("__main__"):
            continue
        module = importlib.import_module(dotted)
        missing += [] if module.__doc__ else [dotted]
        missing += [f"{dotted}.{name}" for name, thing in public(module) if not inspect.getdoc(thing)]
    assert not missing


def test_the_moving_guide_has_every_public_name_of_zennit():
    """Names that its users type; not the parts its own modules are made of."""
    section = (ROOT / "docs/guide/moving.md").read_text("utf-8").partition("## CoRelAy")[0]
    for module in ("rules", "composites", "canonizers", "attribution", "torchvision", "layer"):
        home = pytest.importorskip(f"zennit.{module}", reason="Zennit is not installed (extra bench)")
        own = {
            n for n, v in vars(home).items() if getattr(v, "__module__", "") == home.__name__ and n[0] != "_"
        }
        helpers = {"constant", "identity", "occlude_independent"}  # arguments of its attributors
        assert {name for name in own - helpers if not re.search(rf"`{name}\b", section)} == set(), module


@pytest.mark.parametrize("verb", main.list_commands(click.Context(main)))
def test_every_verb_has_a_place_in_a_guide(verb):
    pages = [page for folder in ("guide", "authors") for page in (ROOT / "docs" / folder).glob("*.md")]
    shows = [page.stem for page in pages if re.search(rf"(`|\$ )backlight {verb}\b", page.read_text("utf-8"))]
    assert shows
