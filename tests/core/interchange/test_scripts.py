"""The script of the guide reads a finished run with h5py alone."""

import re
from pathlib import Path

import numpy as np

from backlight.core.analysis import analyze
from backlight.core.explainer import Explainer
from backlight.core.pipeline import Pipeline, Step
from backlight.core.project import open_project
from backlight.core.run import Settings, attribute_dataset
from backlight.core.sources.data import DatasetSource
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.preprocessing import Flatten

PAGE = Path(__file__).parents[3] / "docs/guide/runs.md"


class Pictures:
    """Random pictures of two classes."""

    targets, classes = [n % 2 for n in range(12)], ["a", "b"]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, number):
        return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8), number % 2


def test_the_script_of_the_guide_reads_a_run(tmp_path, monkeypatch, capsys):
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    source = DatasetSource(Pictures(), "random")
    attribute_dataset(Explainer(model, composite="epsilon"), source, tmp_path / "run", Settings(shard_size=5))
    kmeans = Step("kmeans", KMeans(k=2), {"embedding": "flatten.features"})
    analyze(tmp_path / "run", Pipeline("p", (Step("flatten", Flatten()), kmeans)))
    monkeypatch.chdir(tmp_path)
    (script,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    found: dict = {}
    exec(compile(script, PAGE.name, "exec"), found)
    assert capsys.readouterr().out
    with open_project("run") as project:
        zeros = np.flatnonzero(project.dataset.labels == 0)
        expected = project.attributions.relevances(zeros).sum(1).reshape(len(zeros), -1)
        np.testing.assert_array_equal(found["features"], expected)
        np.testing.assert_array_equal(found["index"], zeros)
