"""Grids: every picture where it belongs, pixel by pixel, and requests that don't add up."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import backlight
from backlight.core.errors import RequestError
from backlight.core.pictures.grid import LAYOUTS, Tile, grid, heatmap_grid
from backlight.core.pictures.heatmap import overlay, rgb_heatmap

SIDE, GAP = 32, 8
rng = np.random.default_rng(0)
RELEVANCE = rng.normal(size=(2, 3, 3, SIDE, SIDE)) * np.arange(1, 7).reshape(2, 3, 1, 1, 1)
PICTURES = rng.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)


def cell(image, row, column, top=GAP, height=SIDE + GAP, left=GAP):
    """Return the pixels of one picture in a grid without names."""
    y, x = top + row * height, left + column * (SIDE + GAP)
    return np.asarray(image)[y : y + SIDE, x : x + SIDE]


def test_pictures_stand_beside_their_heatmaps():
    image = heatmap_grid(RELEVANCE, PICTURES, cmap="bwr", side=SIDE)
    assert image.mode == "RGB"
    assert image.size == (GAP + 4 * (SIDE + GAP), GAP + 2 * (SIDE + GAP))
    for row in range(2):
        assert (cell(image, row, 0) == PICTURES[row]).all()
        for column in range(3):
            assert (cell(image, row, column + 1) == rgb_heatmap(RELEVANCE[row, column], "bwr")).all()


def test_heatmaps_alone_and_over_the_pictures():
    alone = heatmap_grid(RELEVANCE, layout="heatmap", side=SIDE)
    over = heatmap_grid(RELEVANCE, PICTURES, layout="overlay", side=SIDE)
    assert alone.size == over.size == (GAP + 3 * (SIDE + GAP), GAP + 2 * (SIDE + GAP))
    assert (cell(alone, 1, 2) == rgb_heatmap(RELEVANCE[1, 2])).all()
    assert (cell(over, 1, 2) == overlay(RELEVANCE[1, 2], PICTURES[1])).all()


def test_shared_scaling_shares_the_strongest_of_all():
    strongest = np.abs(RELEVANCE.sum(2)).max()
    image = heatmap_grid(RELEVANCE, layout="heatmap", scaling="shared", side=SIDE, level=2.0)
    expected = rgb_heatmap(RELEVANCE[0, 0], scaling="shared", reference=strongest, level=2.0)
    assert (cell(image, 0, 0) == expected).all()


@pytest.mark.parametrize(
    "relevance",
    [
        RELEVANCE[:, 0],
        RELEVANCE[:, :1],
        torch.tensor(RELEVANCE[:, 0], requires_grad=True),
        RELEVANCE[:, 0].sum(1),
        [[RELEVANCE[0, 0]], [RELEVANCE[1, 0]]],
        [RELEVANCE[0, 0], RELEVANCE[1, 0]],
    ],
)
def test_one_explanation_in_every_form(relevance):
    assert heatmap_grid(relevance, PICTURES, side=SIDE) == heatmap_grid(RELEVANCE[:, :1], PICTURES, side=SIDE)


def test_maps_of_different_sizes_stand_in_the_same_squares():
    tiles = [[Tile(np.zeros((8, 16, 3), np.uint8)), Tile(np.zeros((200, 100, 3), np.uint8))]]
    dark = np.asarray(grid(tiles, side=SIDE))[..., 0] < 128
    small, large = dark[:, GAP : GAP + SIDE], dark[:, 2 * GAP + SIDE :]
    assert small.sum() == 16 * 32  # twice as large, by whole pixels
    assert large.sum() == 32 * 16
    assert np.nonzero(small)[0].min() == GAP + 8  # in the middle of the row


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_and_captions_take_room_beside_the_pictures_only(layout):
    texts = {
        "rows": ["first", "a second one whose name is long"],
        "columns": ["epsilon-plus", "gradient", "a very long name that needs several lines of text"],
        "captions": [["tiger cat 39%"] * 3, ["tabby"] * 3],
    }
    bare = heatmap_grid(RELEVANCE, PICTURES, layout=layout, side=64)
    named = heatmap_grid(RELEVANCE, PICTURES, layout=layout, side=64, **texts)
    assert (named.width > bare.width) == (layout != "beside")
    assert named.height > bare.height
    found = np.asarray(named)
    small = heatmap_grid(RELEVANCE[:1, :1], PICTURES[:1], layout=layout, side=64)
    first = np.asarray(small)[GAP : GAP + 64, GAP : GAP + 64]
    corners = [
        (y, x)
        for y in range(found.shape[0] - 63)
        for x in range(found.shape[1] - 63)
        if (found[y, x] == first[0, 0]).all() and (found[y : y + 64, x : x + 64] == first).all()
    ]
    assert len(corners) == 1  # whole, with no text over it
    edge = np.concatenate([found[:3].reshape(-1), found[-3:].reshape(-1), found[:, :3].reshape(-1)])
    assert (edge == 255).all()  # nothing is cut off


def test_single_explanations_stand_in_lines_of_five():
    relevance = rng.normal(size=(7, 3, SIDE, SIDE))
    image = heatmap_grid(relevance, layout="heatmap", side=SIDE)
    assert image.size == (GAP + 5 * (SIDE + GAP), GAP + 2 * (SIDE + GAP))
    for number, values in enumerate(relevance):
        assert (cell(image, number // 5, number % 5) == rgb_heatmap(values)).all()
    named = heatmap_grid(
        relevance, layout="heatmap", side=SIDE, rows=list("abcdefg"), captions=[["x"]] * 7, columns=["way"]
    )
    assert named.width == image.width  # names stand below
    assert named.height > image.height


def test_it_is_public_and_takes_what_attribute_gives():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    inputs = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = backlight.attribute(model, inputs, "top-2", composite="epsilon")
    image = backlight.heatmap_grid(found.relevance, inputs, side=64)
    assert isinstance(image, Image.Image)
    assert image.size == (GAP + 3 * (64 + GAP), GAP + 2 * (64 + GAP))
    assert (np.asarray(image)[GAP, GAP] == (inputs[0, :, 0, 0].numpy() * 255).round()).all()


def test_the_guide_draws_what_it_says():
    page = (Path(__file__).parents[3] / "docs/guide/heatmap.md").read_text(encoding="utf-8")
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    figure = Figure()
    names = {"model": model, "inputs": pictures, "pictures": pictures, "plt": figure.subplots()}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S):
        exec(block, names)
    relevance = names["found"].relevance[0, 0]
    assert (np.asarray(names["image"]) == np.asarray(backlight.heatmap(relevance))).all()
    assert names["grid"].width == GAP + 3 * (224 + GAP)
    (shown,) = figure.axes[0].images
    expected = np.asarray(names["image"].convert("RGB")).astype(int)
    found = shown.to_rgba(shown.get_array(), bytes=True)[..., :3].astype(int)
    # matplotlib's scale is in float32: a value next to the edge of a colour may fall on its other side.
    assert (np.abs(found - expected) <= 3).all()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"layout": "besides"}, "did you mean 'beside'"),
        ({"pictures": None}, "pictures: 0 where 2"),
        ({"pictures": PICTURES[:1]}, "pictures: 1 where 2"),
        ({"rows": ["one"]}, "rows: 1 where 2"),
        ({"columns": ["one"]}, "columns: 1 where 3"),
        ({"captions": [["a"] * 3]}, "rows: 1 where 2"),
        ({"captions": [["a"]] * 2}, "columns: 1 where 3"),
        ({"relevance": [[RELEVANCE[0, 0]], [RELEVANCE[0, 0]] * 2]}, "maps of each sample: 2 where 1"),
        ({"relevance": np.zeros((0, 3, 8, 8)), "pictures": []}, "nothing to show"),
        ({"cmap": "blue"}, "unknown colour map"),
        ({"scaling": "imag"}, "did you mean 'image'"),
        ({"side": 8}, "cannot be seen"),
        ({"side": 20_000}, "2 x 4 pictures of 20000 pixels are too many"),
    ],
)
def test_what_does_not_add_up_is_one_sentence(changed, sentence):
    given = {"relevance": RELEVANCE, "pictures": PICTURES} | changed
    with pytest.raises(RequestError, match=sentence):
        heatmap_grid(given.pop("relevance"), **given)
