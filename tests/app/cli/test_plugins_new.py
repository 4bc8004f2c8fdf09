"""`backlight plugins new`: what it writes is installed into a fresh environment and passes its own tests."""

import tomllib

import pytest
from click.testing import CliRunner

import venvs
from backlight.app.cli import main
from backlight.app.scaffold import new


def write(*arguments, typed=None, code=0):
    result = CliRunner().invoke(main, ["plugins", "new", *arguments], input=typed)
    assert result.exit_code == code, result.output
    return result.output


ALL = ["--kind", "rule", "--kind", "canonizer", "--kind", "processor", "--kind", "panel"]


@pytest.mark.slow  # installs a package and starts four interpreters that import torch
def test_what_is_written_installs_and_passes(tmp_path):
    folder = tmp_path / "out" / "robust-look"
    output = write("--name", "robust-look", *ALL, "--out", str(folder))
    assert f"next: cd {folder} && pip install" in output
    python = venvs.make(tmp_path / "venv")
    venvs.install(python, folder, "-e")
    checked = venvs.run([str(python), "-m", "backlight", "plugins", "check", "robust-look"])
    for kind in new.KINDS:
        assert f"{kind} 'robust-look' of robust-look 0.1.0 is fine" in checked
    suite = venvs.run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder)
    assert " passed" in suite
    assert "skipped" not in suite


@pytest.mark.parametrize("kind", new.KINDS)
def test_one_kind_writes_its_module_and_entry_point_only(tmp_path, kind):
    folder = tmp_path / "one"
    write("--name", "only-one", "--kind", kind, "--out", str(folder))
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    ((_, points),) = project["entry-points"].items()
    assert points == {"only-one": f"only_one.{kind}"}
    modules = sorted(path.name for path in (folder / "src/only_one").iterdir())
    assert modules == sorted(["__init__.py", f"{kind}.py"])
    for path in folder.rglob("*.py"):
        compile(path.read_text(), path.name, "exec")
    assert not [p for p in folder.rglob("*") if p.is_file() and "${" in p.read_text().replace("${{", "")]


def test_it_asks_for_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = write(typed="asked-for\nrule, panel\n")
    assert "Name of the package" in output
    assert "Kinds of plugin (rule, canonizer, processor, panel)" in output
    assert {p.name for p in (tmp_path / "asked-for/src/asked_for").iterdir()} == {
        "__init__.py",
        "rule.py",
        "panel.py",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MyRule", "name 'MyRule' is not kebab-case"),
        ("my_rule", "name 'my_rule' is not kebab-case"),
        ("1-rule", "name '1-rule' is not kebab-case"),
        ("-rule", "name '-rule' is not kebab-case"),
        ("../rule", "name '../rule' is not kebab-case"),
        ("", "name '' is not kebab-case"),
        ("class", "it would be the module 'class'"),
        ("backlight", "it would be the module 'backlight'"),
        ("epsilon", "there is a rule 'epsilon' already"),
    ],
)
def test_names_that_cannot_be_used(tmp_path, name, message):
    out = tmp_path / "out"
    output = write(f"--name={name}", "--kind", "rule", "--out", str(out), code=2)
    assert message in output
    assert not list(tmp_path.iterdir())


def test_a_mistyped_kind_is_named(tmp_path):
    output = write("--name", "fine", "--kind", "rul", "--out", str(tmp_path / "out"), code=2)
    assert "unknown kind of plugin 'rul'; did you mean 'rule'" in output


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    output = write("--name", "fine", "--kind", "rule", "--out", str(tmp_path), code=2)
    assert "exists already; choose another folder with --out" in output
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_nothing_is_left_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    output = write("--name", "fine", "--kind", "rule", "--out", str(tmp_path / "file" / "out"), code=2)
    assert "cannot be written: File exists" in output
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_nothing_is_left_when_writing_fails_half_way(tmp_path):
    package = new.NewPackage("half-way", ("rule",))
    long = tmp_path / "out"
    files = package.files()

    class Failing(type(package)):
        def files(self):
            return {**files, "x" * 300: "a name no file system takes"}

    with pytest.raises(new.RequestError, match="cannot be written: File name too long"):
        new.write_package(Failing("half-way", ("rule",)), long)
    assert not list(tmp_path.iterdir())
