"""`backlight coverage`: every operation with its rule, shares that add up, mistakes in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from backlight.app.cli import main

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)
        nn.init.constant_(self.head.bias, 0.5)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


class Odd(Net):
    def forward(self, x):
        return super().forward(torch.fft.fft(x).abs())
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)

    def run(*arguments: str):
        return CliRunner().invoke(main, ["coverage", *arguments])

    return run


def test_prints_a_line_for_every_operation(call):
    done = call("net.py:Net", "--shape", "3x8x8", "--composite", "epsilon-plus")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[1] for line in lines[1:6]] == ["conv2d", "batch_norm", "relu", "mean", "linear"]
    assert "ZPlus" in lines[1]
    assert "merged" in lines[2]
    assert "bias" in lines[5]
    assert "5 operations: 4 rule, 1 merged" in done.output
    assert "at the input" in lines[-1]


def test_shares_add_up(call):
    done = call("net.py:Net", "--shape", "3x8x8", "--composite", "epsilon", "--target", "1", "--json")
    found = json.loads(done.output)
    ops = [o for o in found["operations"] if "share" in o]
    assert ops[-1]["share"] == pytest.approx(1)
    for later, earlier in zip(ops[:0:-1], ops[-2::-1], strict=True):
        assert later["share"] - sum(later["leaked"].values()) == pytest.approx(earlier["share"])
    at_input = ops[0]["share"] - sum(ops[0]["leaked"].values())
    assert at_input == pytest.approx(found["returned"] / found["received"])
    assert ops[-1]["leaked"]["bias"] == pytest.approx(0.5 / found["received"], rel=1e-5)


def test_a_picture(call, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save("cat.png")
    done = call("net.py:Net", "--shape", "3x8x8", "--image", "cat.png")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.py:Odd", "--shape", "3x8x8", "--strict"], "no rule covers"),
        (["net.py:Net", "--shape", "3xx8"], "is not a shape such as 3x224x224"),
        (["net.py:Net", "--shape", "3x8x8", "--composite", "epsilon-pluss"], "did you mean 'epsilon-plus'"),
        (["net.py:Net", "--shape", "3x8x8", "--target", "7"], "class 7, but the model has 3 outputs"),
        (["net.py:Net", "--shape", "3x8x8", "--image", "none.png"], "none.png does not exist"),
        (["net.py:Net", "--shape", "1x8x8", "--image", "none.png"], "no shape of a picture"),
        (["resnet81"], "unknown model 'resnet81'"),
    ],
)
def test_mistakes_are_one_sentence(call, arguments, message):
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert message in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


def test_without_strict_uncovered_operations_are_shown(call):
    done = call("net.py:Odd", "--shape", "3x8x8")
    assert done.exit_code == 0, done.output
    assert "gradient" in done.output
