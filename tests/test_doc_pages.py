"""The pages of the documentation are true: their commands run, and print what is shown."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

import backlight
import docs_blocks
import venvs

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # installs a package and starts interpreters that import torch
def test_an_authors_first_ten_minutes(tmp_path):
    python = venvs.make(tmp_path / "venv")
    docs_blocks.run(ROOT / "docs/authors/first-plugin.md", tmp_path, python)


def test_a_difference_between_what_is_shown_and_printed_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ python -c 'print(1, 2)'\n1 3\n```\n")
    with pytest.raises(AssertionError):
        docs_blocks.run(page, tmp_path)
    page.write_text("```console\n$ python -c 'print(1, 2)'\n1\n… 2\n```\n")
    with pytest.raises(AssertionError):
        docs_blocks.run(page, tmp_path)
    page.write_text("```console\n$ python -c 'print(1, 2, 3)'\n1\n… 3\n$ python -c 'print(4)'\n```\n")
    assert docs_blocks.run(page, tmp_path) == ["1 2 3\n", "4\n"]


NOT_HERE = {
    "make demo": "tests/test_distribution.py runs the demo",
    "backlight explore run": "it serves until it is stopped; tests/browser looks at it",
    "backlight selftest pictures --artefact box --artefact watermark": "tests/app/selftest trains less",
    "pip install 'backlight[cluster]'": "it needs a package index",
    "backlight attribute run.toml --cluster local:4": "tests/core/run/test_cluster.py starts workers",
    "backlight attribute run.toml --cluster tcp://HOST:8786": "there is no such machine",
    "backlight attribute run.toml --device cuda --cluster tcp://127.0.0.1:8786": "there are no GPUs",
    "dask scheduler &": "it serves until it is stopped",
    "for gpu in 0 1 2 3; do CUDA_VISIBLE_DEVICES=$gpu dask worker tcp://127.0.0.1:8786 --nthreads 1 & done": (
        "there are no GPUs"
    ),
}
"""Commands that these tests do not run, and why."""
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Make what readers have: pictures in class folders, a model's file and its weights."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for name in ("bird", "cat", "dog"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")
    torch.manual_seed(0)
    save_file(resnet18(num_classes=10).state_dict(), folder / "weights.safetensors")
    (folder / "my_model.py").write_text(
        "from torchvision.models import resnet18\ndef build(): return resnet18(num_classes=10)\n"
    )
    return folder


@pytest.mark.slow  # explains and analyses pictures with a ResNet, in an interpreter for each command
def test_the_commands_of_the_readme_run(world, tmp_path):
    folder = shutil.copytree(world, tmp_path / "here")
    printed = docs_blocks.run(ROOT / "README.md", folder, without=tuple(NOT_HERE))
    assert "24 samples" in printed[0]
    assert len(printed) == 2


@pytest.mark.slow  # explains and analyses pictures with a ResNet, in an interpreter for each command
def test_the_commands_of_the_guide_run(world, tmp_path):
    folder = shutil.copytree(world, tmp_path / "here")
    assert docs_blocks.run(ROOT / "docs/guide/runs.md", folder)
    assert docs_blocks.run(ROOT / "docs/guide/spray.md", folder, without=tuple(NOT_HERE))
    assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("page", ["docs/guide/first-run.md", "docs/scaling.md"])
def test_a_page_without_a_test_of_its_own_has_reasons(page):
    found = {line for line, _ in docs_blocks.commands(ROOT / page)}
    assert found
    assert found <= set(NOT_HERE)


def test_no_reason_outlives_its_command():
    shown = {line for page in PAGES for line, _ in docs_blocks.commands(page)}
    assert set(NOT_HERE) <= shown


@pytest.mark.parametrize("page", ["docs/guide/python.md", "docs/guide/moving.md", "docs/guide/faq.md"])
def test_the_python_of_a_page_runs(page, capsys):
    """As one session, with a model and pictures at hand; its TOML is a composite."""
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    images = torch.randn(2, 3, 16, 16)
    session = {
        "backlight": backlight,
        "torch": torch,
        "model": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head),
        "segmenter": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3)),
        "images": images,
        "labels": torch.tensor([0, 1]),
        "background": torch.ones_like(images),
    }
    blocks = docs_blocks.BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    for language, _, text in blocks:
        if language == "python":
            exec(compile(text, page, "exec"), session)
        elif language == "toml":
            backlight.composite(tomllib.loads(text))
    assert blocks


def test_the_snippets_on_testing_run(install):
    """The page's test, of a distribution that is there, and its specimens."""
    install("good")
    page = (ROOT / "docs/authors/testing.md").read_text(encoding="utf-8")
    test, specimens = (text for language, _, text in docs_blocks.BLOCK.findall(page) if language == "python")
    session = {}
    exec(compile(test.replace("my-backlight-plugin", "backlight-good"), "testing.md", "exec"), session)
    (marked,) = session["test_conformance"].pytestmark
    assert {str(case).partition("-")[0] for case in marked.args[1]} >= {
        "rule",
        "canonizer",
        "processor",
        "panel",
    }
    exec(compile(specimens, "testing.md", "exec"), session)
    assert session["SPECIMENS"]["rule", "my-rule"].excused
