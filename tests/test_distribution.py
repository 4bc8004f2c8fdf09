"""The wheel and the source distribution: complete, without tests or data, and working when installed."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import venvs

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow  # builds both distributions


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build a wheel and a source distribution as a front end would."""
    folder = tmp_path_factory.mktemp("dist")
    venvs.run([sys.executable, "-m", "hatchling", "build", "--directory", str(folder)], cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


def sources():
    """Return every file below src/ that belongs to the package, relative to src/."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.removeprefix("src/") for line in listed.stdout.split() if (ROOT / line).exists()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources()
    assert "backlight/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"backlight"}
    assert not [name for name in names if Path(name).suffix in {".h5", ".npz", ".pt", ".safetensors", ".pyc"}]
    assert wheel.stat().st_size < 2_000_000


def test_its_metadata_are_complete(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        texts = {name.partition(".dist-info/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert "BSD" in texts["licenses/LICENSE"]
    for line in (f"Name: {project['name']}", f"Version: {project['version']}", "Classifier: Typing :: Typed"):
        assert line in texts["METADATA"].splitlines()
    for group, points in project["entry-points"].items():
        section = texts["entry_points.txt"].partition(f"[{group}]\n")[2].partition("\n[")[0]
        assert dict(line.split(" = ") for line in section.splitlines() if line) == points


def test_the_source_distribution_can_be_built_from_and_has_no_tests_or_docs(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    top = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "PKG-INFO", ".gitignore"}
    assert {name for name in names if "/" not in name} == top
    assert {name.partition("/")[0] for name in names} == {*top, "src"}
    assert {name.removeprefix("src/") for name in names if "/" in name} == sources()


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Install the wheel into a fresh environment; return its interpreter."""
    python = venvs.make(tmp_path_factory.mktemp("wheel") / "venv")
    venvs.install(python, wheel)
    return python


def test_the_installed_wheel_works_outside_the_repository(python, tmp_path):
    where = venvs.run([str(python), "-c", "import backlight; print(backlight.__file__)"], cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    found = json.loads(venvs.run([str(python), "-m", "backlight", "doctor", "--json"], cwd=tmp_path))
    assert found["problems"] == []
    assert found["plugins"]["rule"]["loaded"] > 5
    name = ["plugins", "new", "--name", "made-there", "--kind", "rule"]
    venvs.run([str(python), "-m", "backlight", *name], cwd=tmp_path)
    assert (tmp_path / "made-there/src/made_there/rule.py").exists()


def test_its_demo_finds_the_artefact_and_a_second_time_from_what_is_there(python, tmp_path):
    command = [str(python), "-m", "backlight", "demo", "--no-explore", "--out", "found"]
    first, again = (venvs.run(command, cwd=tmp_path) for _ in range(2))
    for told in (first, again):
        assert re.search(r"class .(\w+). was painted\. It ranks 1 of 10", told)
        hits, f1 = re.search(r"(\d+) are painted.*F1 ([\d.]+)", told).groups()
        assert int(hits) > 50
        assert float(f1) > 0.9
        assert "Look at it: backlight explore found/run" in told
    assert "trained" in first and "trained" not in again
    assert (tmp_path / "found/run/project.yaml").exists()


def test_the_version_is_written_once():
    """`--version` and the metadata both come from pyproject; the citation gives none that could differ."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    told = venvs.run([sys.executable, "-m", "backlight", "--version"], cwd=ROOT)
    assert told.split() == ["backlight", version]
    assert "version:" not in (ROOT / "CITATION.cff").read_text().replace("cff-version:", "")
    assert os.linesep.join(["", f"## {version} "]) in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_extra_that_a_hint_names_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {
        extra
        for path in (ROOT / "src").rglob("*.py")
        for extra in re.findall(r"backlight\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(project["optional-dependencies"])
