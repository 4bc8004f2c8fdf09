"""The example plugin, installed beside Backlight: its own tests, and each of its plugins at work."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from click.testing import CliRunner
from PIL import Image
from torch import nn

import backlight
import venvs
from backlight.app.cli import main
from backlight.core.pipeline import Pipeline, Step
from backlight.core.project import open_project

EXAMPLE = Path(__file__).parents[2] / "examples/plugin"
NET = """
from torch import nn
def net(num_classes=2):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, num_classes, bias=False),
    )
"""
CHECKS = """
from backlight.app.cli import main
for name in ("magnitude", "cosine-head", "gini", "outcome"):
    main(["plugins", "check", name], standalone_mode=False)
"""


@pytest.mark.slow  # installs a package and starts interpreters that import torch
def test_its_own_tests_pass_in_a_fresh_environment(tmp_path):
    source = shutil.copytree(EXAMPLE, tmp_path / "plugin")
    python = venvs.make(tmp_path / "venv")
    venvs.install(python, source)
    checked = venvs.run([str(python), "-c", CHECKS])
    assert checked.count("of backlight-example 0.1.0 is fine") == 4
    suite = venvs.run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=source)
    assert " passed" in suite
    alone = ["--pyargs", "backlight.testing", "--plugin-dist", "backlight-example", "-k", "gini or outcome"]
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:dash", *alone]
    assert " passed" in venvs.run(command, cwd=tmp_path)


def test_its_rule_explains_a_run(example_plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    rng = np.random.default_rng(0)
    for number, name in enumerate(["cat", "cat", "dog"]):
        (tmp_path / "pictures" / name).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    arguments = ["--model", "net.py:net", "--data", "pictures", "--size", "8", "--out", "run"]
    result = CliRunner().invoke(main, ["attribute", *arguments, "--composite", "magnitude"])
    assert result.exit_code == 0, result.output
    with open_project(tmp_path / "run") as project:
        relevance = project.attributions.relevances(np.arange(3))
        explained = [project.attributions.predictions(np.arange(3))[i][k] for i, k in enumerate([0, 0, 1])]
    assert np.allclose(relevance.sum(axis=(1, 2, 3)), explained, rtol=1e-3)


class CosineClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        return F.cosine_similarity(x[:, None], self.prototypes[None], dim=-1)


def test_its_canonizer_explains_its_model(example_plugin):
    torch.manual_seed(0)
    model, x = CosineClassifier().double(), torch.randn(3, 8, dtype=torch.float64)
    found = backlight.attribute(model, x, 1, composite="epsilon", strict=True)
    assert "cosine-head" in found.coverage.canonizers
    by_hand = x * model.prototypes[1] / (x.norm(dim=1, keepdim=True) * model.prototypes[1].norm())
    assert torch.allclose(found.relevance, by_hand.detach(), rtol=1e-4)


def test_its_processor_finds_the_concentrated_cluster(example_plugin):
    from backlight_example.gini import Gini

    rng = np.random.default_rng(0)
    maps = rng.uniform(0.5, 1, (40, 3, 8, 8))
    maps[:15, :, :2, :2] += 40
    preset = backlight.pipeline("spray", until="kmeans")
    steps = (*preset.steps, Step("gini", Gini()))
    results = Pipeline("spray-gini", steps)(maps)
    scores, labels = results["gini"], results["kmeans"]["labels"]
    concentrated = scores["cluster"][np.argmax(scores["cluster_gini"])]
    assert set(np.flatnonzero(labels == concentrated)) == set(range(15))


@pytest.mark.parametrize(
    ("row", "expected"), [([1, 1, 1, 1], 0), ([0, 0, 0, 1], 0.75), ([0, 0, 0, 0], 0), ([0, 0, 1, 1], 0.5)]
)
def test_gini_of_known_distributions(example_plugin, row, expected):
    from backlight_example.gini import gini

    assert gini(np.array([row], dtype=float))[0] == pytest.approx(expected)
