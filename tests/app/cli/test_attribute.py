"""`backlight attribute` on real files; every wrong request: one sentence, exit code 2, nothing written."""

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from backlight.app.cli import main
from backlight.core.project import open_project

NET = """
from torch import nn
def net(num_classes=2):
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, num_classes),
    )
def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
def broken():
    raise ValueError("no data")
class Undifferentiable(nn.Module):
    def forward(self, x):
        return (x.mean((2, 3)) > 0).float()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    rng = np.random.default_rng(0)
    for number, name in enumerate(["cat", "cat", "dog", "dog", "dog"]):
        (tmp_path / "pictures" / name).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (12 + number, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["attribute", *map(str, arguments)])


GOOD = ("--model", "net.py:net", "--data", "pictures", "--size", "8", "--out", "run")


@pytest.mark.parametrize(
    "composite", ["epsilon-plus", "epsilon-gamma-box", "epsilon-plus-flat", "epsilon", "none"]
)
def test_a_folder_of_pictures_becomes_a_run(place, composite):
    result = call(*GOOD, "--composite", composite, "--mean", "0.5", "--std", "0.5")
    assert result.exit_code == 0, result.output
    assert "5 samples attributed in run" in result.output
    with open_project(place / "run") as project:
        assert project.attributions.relevances(project.attributions.indices).shape == (5, 3, 8, 8)
        assert [x.name for x in project.labels.labels] == ["cat", "dog"]
        assert project.dataset.file_name(3) == "dog/3.png"


def test_the_box_rule_gets_the_bounds_of_the_preprocessing(place):
    call(*GOOD, "--composite", "epsilon-gamma-box", "--mean", "0.5", "--std", "0.25")
    assert '"low": [\n     -2.0,' in (place / "run" / "run.json").read_text()


def test_weights_are_loaded(place):
    from backlight.core.sources.models import load_model

    model = load_model("net.py:net")
    torch.save(model.state_dict(), place / "w.pt")
    for out in ("one", "two"):
        assert call(*GOOD[:-1], out, "--weights", "w.pt").exit_code == 0
    with h5py.File(place / "one" / "attribution.h5") as a, h5py.File(place / "two" / "attribution.h5") as b:
        np.testing.assert_array_equal(a["attribution"][:], b["attribution"][:])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--composite": "epsilon-pluss"}, "did you mean 'epsilon-plus'"),
        ({"--model": "resnet19"}, "unknown model 'resnet19'"),
        ({"--model": "net.py:nets"}, "unknown model 'nets'; did you mean 'net'"),
        ({"--model": "net.py:Undifferentiable"}, "does not depend differentiably"),
        ({"--data": "nowhere/pictures"}, "no such file or folder"),
        ({"--data": "empty"}, "holds no pictures in class sub-folders"),
        ({"--data": "truncated.h5"}, "truncated.h5 is not a readable HDF5 file"),
        ({"--weights": "wrong.pt"}, "do not fit"),
        ({"--weights": "none.pt"}, "do not exist"),
        ({"--method": "gradients"}, "did you mean 'gradient'"),
        ({"--method": "tsne"}, "no attribution method"),
        ({"--size": "big"}, "expected a size such as 224"),
        (
            {"--model": "net.py:fixed", "--size": "12"},
            "cannot take pictures of 12 x 12; give the --size it was made for",
        ),
        ({"--mean": "a,b"}, "three separated by commas"),
        ({"--out": "taken"}, "not empty and no run"),
        ({"--out": "net.py/run"}, "folder net.py/run cannot be made: Not a directory"),
        ({"--model": "net.py:net", "--classes": "no"}, "expected a whole number"),
        ({"--model": "net.py:fixed", "--classes": "3"}, "model 'net.py:fixed' cannot be built: TypeError"),
        ({"--data": "net.py:broken"}, "data 'net.py:broken' cannot be built: ValueError: no data"),
        ({"--mean": "nan"}, "mean is 'nan', expected one number, or three"),
        ({"--seed": str(2**64)}, "expected a whole number from 0"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(place, changed, sentence):
    (place / "empty").mkdir()
    (place / "taken").mkdir()
    (place / "taken" / "file").write_text("")
    torch.save({"a": torch.zeros(1)}, place / "wrong.pt")
    with h5py.File(place / "truncated.h5", "w") as file:
        file["data"], file["label"] = np.zeros((50, 3, 8, 8)), np.zeros(50, int)
    (place / "truncated.h5").write_bytes((place / "truncated.h5").read_bytes()[:9000])
    options = dict(zip(GOOD[::2], GOOD[1::2], strict=True)) | changed
    before = sorted(p.name for p in place.iterdir())
    result = call(*(part for option in options.items() for part in option))
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert sorted(p.name for p in place.iterdir()) == before


def test_a_broken_picture_is_left_out_and_named(place):
    (place / "pictures" / "dog" / "3.png").write_bytes(b"no picture")
    result = call(*GOOD, "--failure-limit", "0.5")
    assert result.exit_code == 0, result.output
    assert "4 samples attributed" in result.output
    assert "left out sample 3" in result.output
