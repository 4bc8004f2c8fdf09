"""What an extra brings may be missing: the sentence then names the command that installs it."""

import re
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from backlight.core.errors import RequestError
from backlight.core.interchange.exporting import export
from backlight.core.pictures.heatmap import colour_map
from backlight.core.project import open_project
from backlight.core.registry import registry
from backlight.core.run.cluster import shards_on
from backlight.core.run_config import Config
from backlight.core.sources.models import load_model
from backlight.testing.bare_run import write_bare_run
from backlight.testing.samples import sample

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
OURS = {"bench", "dev", "docs"}
"""Extras for work on Backlight itself."""


def processor(name, **parameters):
    def use(_):
        made = registry().create("processor", name, **parameters)
        made(**{port: sample(40)[port] for port in made.needs()})

    return use


def connect(_):
    with shards_on(Config(cluster="local:1"), threading.Event()):
        pass


def table(folder):
    with open_project(write_bare_run(folder)) as project:
        export(project, folder / "run.parquet")


USES = {
    "ann": ("pynndescent", processor("descent-knn", k=2, pool=1, exact=0)),
    "cluster": ("distributed", connect),
    "hf": ("transformers", lambda folder: load_model(f"hf/{folder}", "DEFAULT")),
    "matplotlib": ("matplotlib.colors", lambda _: colour_map("bwr").matplotlib()),
    "opentsne": ("openTSNE", processor("opentsne")),
    "parquet": ("pyarrow", table),
    "umap": ("umap", processor("umap")),
}
"""Extra -> a module that it brings, and what needs it."""


@pytest.mark.parametrize("extra", USES)
def test_what_is_missing_comes_with_the_command_that_installs_it(extra, monkeypatch, tmp_path):
    module, use = USES[extra]
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails from now on
    with pytest.raises(RequestError, match=rf"try `pip install 'backlight\[{extra}\]'`$"):
        use(tmp_path)
    assert not list(tmp_path.glob("*.parquet*"))


def test_every_extra_is_tried_here():
    assert set(USES) == set(EXTRAS) - OURS
    hints = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert set(re.findall(r"backlight\[(\w+)\]", hints)) == set(USES)


def test_development_installs_every_extra():
    """`make install` of CI then shows that each can be installed, beside all others."""
    (others,) = [line for line in EXTRAS["dev"] if line.startswith("backlight[")]
    assert set(others.removeprefix("backlight[").removesuffix("]").split(",")) == set(EXTRAS) - {"dev"}
