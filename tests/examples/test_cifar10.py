"""The example on CIFAR-10 works as its page says, here on few pictures: noise, a hue for each class."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import docs_blocks
from backlight.core.project import open_project

EXAMPLE = Path(__file__).parents[2] / "examples/cifar10"


@pytest.mark.slow  # trains a network and runs six commands, each of which imports torch
def test_the_commands_of_the_page(tmp_path):
    place = shutil.copytree(EXAMPLE, tmp_path / "cifar10")
    rng = np.random.default_rng(0)
    hues = rng.integers(0, 160, (5, 3))
    for part, count in (("train", 40), ("test", 12)):
        for label, hue in enumerate(hues):
            folder = place / "pictures" / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 96, (32, 32, 3)) + hue
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04d}.jpg")
    trained, planned, attributed, verified, pixels, latent, _ = docs_blocks.run(place / "README.md", place)
    last = re.search(r"epoch 6: (.*)% of the test pictures are right", trained)
    assert last and float(last[1]) > 40  # chance gives 20
    assert "samples: 60 in 1 shards" in planned
    assert "60 samples attributed in run" in attributed and "complete and unchanged" in verified
    assert "(spray)" in pixels and "(spray-latent (0))" in latent
    with open_project(place / "run") as project:
        assert list(project.analyses) == ["spray", "spray-latent (0)"]
        assert project.attributions.layer("0", project.attributions.indices).shape == (60, 64)
    assert "class3" in (place / "report.html").read_text(encoding="utf-8")
