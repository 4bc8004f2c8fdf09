"""`backlight heatmap` and `backlight recolour` on real files: what is seen, stored and refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import backlight
from backlight.app.cli import main
from backlight.core.pictures.heatmap import COLOUR_MAPS, channel_sum, colour_map, rgb_heatmap
from backlight.core.sources.models import load_model

NET = """
import torch
from torch import nn


def net(num_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes),
    )
"""
NAMES = ("cat", "dog", "axolotl")
COMMON = ("--model", "net.py:net", "--size", "16", "--mean", "0.5", "--std", "0.25")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    rng = np.random.default_rng(0)
    for name in ("one.png", "two.jpg"):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def call(verb, *arguments):
    return CliRunner().invoke(main, [verb, *map(str, arguments)])


def fine(verb, *arguments):
    done = call(verb, *arguments)
    assert done.exit_code == 0, done.output
    return done.output


def opened(path):
    with Image.open(path) as image:
        image.load()
    return image


def arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def relevance_of(picture, target=None, composite="epsilon-plus"):
    """Explain a picture from Python, prepared by hand: (x / 255 - 0.5) / 0.25 of the resized centre."""
    image = opened(picture).convert("RGB").resize((19, 16), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.crop((1, 0, 17, 16)), dtype=np.float32)
    inputs = torch.tensor((pixels / 255 - 0.5) / 0.25).permute(2, 0, 1)[None].contiguous()
    found = backlight.attribute(load_model("net.py:net").eval(), inputs, target, composite=composite)
    return found.relevance[0].numpy(), found


def test_one_picture_gives_its_heatmap_in_a_palette(place):
    output = fine("heatmap", "one.png", *COMMON, "--labels", "names.txt", "--cmap", "bwr")
    relevance, found = relevance_of("one.png")
    shown = opened("heatmap.png")
    assert shown.mode == "P"
    assert shown.size == (16, 16)
    expected = np.asarray(backlight.heatmap(relevance, "bwr").convert("RGB")).astype(int)
    assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - expected).max() <= 2
    share = found.output.softmax(1).max()
    assert f"one.png: {NAMES[int(found.target)]} {share:.0%}" in output
    assert "Heatmaps: heatmap.png" in output


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_recolouring_what_was_saved_is_as_good_as_colouring_anew(place, name):
    fine("heatmap", "one.png", *COMMON, "-o", "saved.png")
    fine("heatmap", "one.png", *COMMON, "-o", "raw.npy")
    fine("recolour", "saved.png", "--cmap", name, "--level", "2", "-o", "other.png")
    shown = np.asarray(opened("other.png").convert("RGB")).astype(int)
    exact = rgb_heatmap(np.load("raw.npy")[0, 0], name, level=2.0).astype(int)
    mapped = colour_map(name)
    slope = np.abs(np.diff(np.array(mapped.colours), axis=0)).max(1) / np.diff(mapped.positions)
    assert np.abs(shown - exact).max() <= 2 * slope.max() / 256 + 1


def test_raw_relevance_is_what_python_gives(place):
    targets = ("--target", "axolotl", "--target", "1", "--target", "top-2")
    fine(
        "heatmap", "one.png", "two.jpg", *COMMON, "--labels", "names.txt", *targets,
        "--composite", "epsilon-plus", "--composite", "none", "-o", "raw.npz",
    )  # fmt: skip
    found = arrays("raw.npz")
    assert found["relevance"].shape == (2, 8, 3, 16, 16)
    assert found["way"].tolist() == ["epsilon-plus"] * 4 + ["gradient"] * 4
    assert found["image"].tolist() == ["one.png", "two.jpg"]
    for row, name in enumerate(("one.png", "two.jpg")):
        assert found["target"][row, :2].tolist() == [2, 1]
        assert found["target"][row, 2:4].tolist() == np.argsort(-found["output"][row])[:2].tolist()
        assert found["label"][row].tolist() == [NAMES[k] for k in found["target"][row]]
        for column, target in enumerate(found["target"][row].tolist()):
            way = "epsilon-plus" if column < 4 else None
            expected, _ = relevance_of(name, target, way)
            # The two ways of resizing round pixels alike; float32 sums are not ordered alike.
            np.testing.assert_allclose(found["relevance"][row, column], expected, atol=1e-5)
    fine("heatmap", "one.png", "two.jpg", *COMMON, "--target", "2", "-o", "raw.npy")
    np.testing.assert_array_equal(np.load("raw.npy")[:, 0], found["relevance"][:, 0])


def test_several_make_a_grid_of_pictures_and_heatmaps(place):
    composites = ("--composite", "epsilon-plus", "--composite", "epsilon")
    fine("heatmap", "one.png", "two.jpg", *COMMON, *composites, "--side", "64", "-o", "grid.png")
    fine("heatmap", "one.png", "two.jpg", *COMMON, *composites, "-o", "raw.npz")
    found = arrays("raw.npz")
    shown = np.asarray(opened("grid.png").convert("RGB"))
    wanted = [found["input"][0], *(rgb_heatmap(values) for values in found["relevance"][0])]
    left = [8 + column * 72 for column in range(3)]
    top = next(y for y in range(64) if (shown[y, left[0] : left[0] + 64] != 255).any(1).all())
    for x, picture in zip(left, wanted, strict=True):
        assert (shown[top : top + 64, x : x + 64] == picture.repeat(4, 0).repeat(4, 1)).all()


@pytest.mark.parametrize("layout", ["overlay", "beside", "heatmap"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_every_layout_in_every_format(place, layout, suffix):
    fine("heatmap", "one.png", *COMMON, "--layout", layout, "-o", f"out.{suffix}")
    shown = opened(f"out.{suffix}")
    assert shown.size == ((16, 16) if layout != "beside" else (8 + 2 * 232, shown.height))
    assert (shown.mode == "P") == (suffix == "png" and layout == "heatmap")


def test_a_method_that_takes_no_composite_is_one_column(place):
    methods = ("--method", "gradient", "--method", "occlusion", "--method", "smooth-grad:none")
    composites = ("--composite", "epsilon-plus", "--composite", "epsilon")
    fine("heatmap", "one.png", *COMMON, *methods, *composites, "--set", "window=4", "-o", "raw.npz")
    assert arrays("raw.npz")["way"].tolist() == ["epsilon-plus", "epsilon", "occlusion", "smooth-grad"]


def test_parameters_reach_the_methods_that_have_them(place):
    for draws in (1, 3):
        arguments = ("--method", "smooth-grad", "--method", "gradient", "--set", f"draws={draws}")
        fine("heatmap", "one.png", *COMMON, *arguments, "-o", f"{draws}.npy")
    few, many = np.load("1.npy"), np.load("3.npy")
    assert not np.allclose(few[0, 0], many[0, 0])
    np.testing.assert_array_equal(few[0, 1], many[0, 1])


def test_pictures_of_different_sizes_keep_them(place):
    Image.new("RGB", (10, 30), "red").save("tall.png")
    arguments = ("one.png", "tall.png", "--model", "net.py:net")
    assert "keep their size" in fine("heatmap", *arguments)
    done = call("heatmap", *arguments, "-o", "raw.npy")
    assert (done.exit_code, "give --size" in done.output) == (2, True)


def test_shared_scaling_shows_the_weaker_picture_weaker(place):
    Image.new("RGB", (20, 20), (128, 127, 128)).save("grey.png")
    arguments = ("one.png", "grey.png", *COMMON, "--target", "0", "--layout", "heatmap", "--side", "16")
    fine("heatmap", *arguments, "--scaling", "shared", "-o", "shared.png")
    fine("heatmap", *arguments, "-o", "raw.npy")
    values = [channel_sum(values) for values in np.load("raw.npy")[:, 0]]
    strongest = max(np.abs(v).max() for v in values)
    shown = np.asarray(opened("shared.png").convert("RGB"))
    for value in values:
        expected = rgb_heatmap(value, scaling="shared", reference=strongest)
        found = [
            (y, x)
            for y in range(shown.shape[0] - 15)
            for x in range(shown.shape[1] - 15)
            if (shown[y : y + 16, x : x + 16] == expected).all()
        ]
        assert len(found) == 1


def test_weights_classes_and_labels_of_the_model(place):
    torch.save(load_model("net.py:net", num_classes=2).state_dict(), "two.pt")
    (place / "names.json").write_text(json.dumps({"0": "left", "1": "right"}))
    arguments = (*COMMON, "--classes", "2", "--weights", "two.pt", "--labels", "names.json")
    output = fine("heatmap", "one.png", *arguments, "--target", "right", "-o", "a.png")
    assert "left" in output or "right" in output
    assert "untrained" in fine(
        "heatmap", "one.png", "--model", "squeezenet1_1", "--size", "64", "-o", "b.png"
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["none.png"], "none.png does not exist"),
        (["."], "is not a readable picture"),
        (["names.txt"], "names.txt is not a readable picture"),
        (["one.png", "none.png"], "none.png does not exist"),
        (["one.png", "one.png"], "given twice"),
        (["one.png", "--target", "9"], "class 9, but the model has 3 outputs"),
        (["one.png", "--target", "axolotel", "--labels", "names.txt"], "did you mean 'axolotl'"),
        (["one.png", "--target", "cat"], "give its number"),
        (["one.png", "--target", "top-7"], "'top-7', but the model has 3 outputs"),
        (["one.png", "--labels", "imagenet"], "1000 classes have a name, but the model has 3"),
        (["one.png", "--labels", "none.txt"], "none.txt cannot be used"),
        (["one.png", "--cmap", "bwrr"], "did you mean 'bwr'"),
        (["one.png", "--cmap", "80:fff,40:000"], "indices must ascend"),
        (["one.png", "--level", "0"], "level is 0"),
        (["one.png", "--scaling", "imge"], "did you mean 'image'"),
        (["one.png", "--layout", "besides"], "Did you mean 'beside'"),
        (["one.png", "--composite", "epsilon-pluss"], "did you mean 'epsilon-plus'"),
        (["one.png", "--method", "gradientt"], "did you mean 'gradient'"),
        (["one.png", "--method", "tsne"], "no attribution method"),
        (["one.png", "--set", "draws=3"], "no method here has a parameter 'draws'"),
        (["one.png", "--weights", "none.pt"], "do not exist"),
        (["one.png", "--size", "big"], "expected a size such as 224"),
        (["one.png", "-o", "out.pdf"], "should end in .png, .jpg, .webp, .npy or .npz"),
        (["one.png", "-o", "folder.png"], "folder.png is a folder"),
        (["one.png", "-o", "nowhere/out.png"], "folder nowhere does not exist"),
        (["one.png", "-o", "/proc/out.png"], "/proc/out.png cannot be written"),
        (["one.png", "--model", "resnet19"], "unknown model 'resnet19'"),
        ([], "Missing argument 'IMAGE…'"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(place, changed, sentence):
    (place / "folder.png").mkdir()
    before = sorted(p.name for p in place.rglob("*"))
    done = call("heatmap", *COMMON, *changed)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert sorted(p.name for p in place.rglob("*") if "__pycache__" not in str(p)) == before


def test_a_picture_that_the_model_cannot_take_is_a_question_of_size(place):
    source = "nn.Flatten(), nn.Linear(3 * 16 * 16, 3)"
    (place / "fixed.py").write_text(f"from torch import nn\ndef net():\n    return nn.Sequential({source})\n")
    done = call("heatmap", "one.png", "--model", "fixed.py:net")
    assert done.exit_code == 2
    assert "Sequential cannot take pictures of 20 x 24; give the --size it was made for" in done.output
    fine("heatmap", "one.png", "--model", "fixed.py:net", "--size", "16")


def test_a_model_must_be_named(place):
    done = call("heatmap", "one.png")
    assert (done.exit_code, "which model?" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.png", "--cmap", "bwr", "-o", "out.png"], "none.png does not exist"),
        (["names.txt", "--cmap", "bwr", "-o", "out.png"], "names.txt is not a readable picture"),
        (["one.png", "--cmap", "bwr", "-o", "out.png"], "no palette but mode RGB"),
        (["saved.png", "--cmap", "brw", "-o", "out.png"], "unknown colour map 'brw'"),
        (["saved.png", "--cmap", "bwr", "-o", "out.npy"], "should end in .png, .jpg or .webp"),
        (["saved.png", "--cmap", "bwr", "--level", "-1", "-o", "out.png"], "level is -1"),
        (["saved.png", "--cmap", "bwr"], "Missing option '--out'"),
    ],
)
def test_what_cannot_be_recoloured(place, arguments, sentence):
    backlight.heatmap(np.eye(8)).save("saved.png")
    done = call("recolour", *arguments)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())
    assert not (place / "out.png").exists()


def test_recolouring_needs_no_torch(place):
    backlight.heatmap(np.eye(8)).save("saved.png")
    script = (
        "import sys; from backlight.app.cli import main\n"
        "main(['recolour', 'saved.png', '--cmap', 'bwr', '-o', 'out.png'], standalone_mode=False)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Heatmap:", "out.png", "False"]


def test_a_heatmap_may_be_recoloured_in_place(place):
    backlight.heatmap(np.eye(8)).save("saved.png")
    fine("recolour", "saved.png", "--cmap", "gray", "-o", "saved.png")
    assert np.asarray(opened("saved.png").convert("RGB"))[0].tolist() == [[255] * 3] + [[128] * 3] * 7
