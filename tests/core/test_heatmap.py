"""Colour maps and heatmaps against the published formulas, and for inputs that must not break them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from backlight.core.errors import RequestError
from backlight.core.heatmap import (
    COLOUR_MAPS,
    channel_sum,
    colour_map,
    heatmap,
    normalised,
    overlay,
    rgb_heatmap,
)

HEX = "0123456789abcdefABCDEF"
colours = st.one_of(st.text(HEX, min_size=3, max_size=3), st.text(HEX, min_size=6, max_size=6))
finite = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(4, 7), st.integers(4, 7)),
    elements=st.floats(width=32),
)


def fire_red(r):
    """FORMATS: R, G, B ramps on the positive side, mirrored on the negative one."""
    positive = [np.clip(r, 0, 0.25) / 0.25, np.clip(r - 0.25, 0, 0.25) / 0.25, np.clip(r - 0.5, 0, 0.5) / 0.5]
    negative = [
        np.clip(-r, 0, 0.25) / 0.25,
        np.clip(-r - 0.25, 0, 0.25) / 0.25,
        np.clip(-r - 0.5, 0, 0.5) / 0.5,
    ]
    return np.stack([positive[0] + negative[2], positive[1] + negative[1], positive[2] + negative[0]], -1)


def test_black_fire_red_is_virelays_formula():
    relevance = np.linspace(-3, 3, 2001).reshape(1, -1)
    shown = rgb_heatmap(relevance, "black-fire-red").astype(float)
    assert np.abs(shown - 255 * fire_red(relevance / 3)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_every_named_map_covers_the_range(name):
    table = colour_map(name).palette()
    assert table.shape == (256, 3)
    assert len(np.unique(table, axis=0)) > 32


@given(st.lists(colours, min_size=2, max_size=8))
def test_unindexed_colours_are_spread_evenly(parts):
    mapped = colour_map(",".join(parts))
    assert mapped.positions == pytest.approx(np.linspace(0, 1, len(parts)))
    assert mapped.rgb(np.array(mapped.positions)).tolist() == [list(c) for c in mapped.colours]


@given(
    st.lists(st.tuples(st.integers(0, 255), colours), min_size=2, max_size=8, unique_by=lambda node: node[0])
)
def test_an_indexed_colour_is_that_palette_entry(nodes):
    nodes = sorted(nodes)
    mapped = colour_map(",".join(f"{index:02x}:{colour}" for index, colour in nodes))
    palette = mapped.palette()
    for (index, _), expected in zip(nodes, mapped.colours, strict=True):
        assert tuple(palette[index]) == expected


def test_one_index_digit_is_doubled():
    assert colour_map("000,8:f00,fff") == colour_map("000,88:f00,fff")


@given(st.text(max_size=30))
def test_any_text_is_a_map_or_a_sentence(text):
    try:
        assert colour_map(text).palette().shape == (256, 3)
    except RequestError as error:
        assert "\n" not in str(error).replace(repr(text), "")


@pytest.mark.parametrize(
    "text", ["", "fff", "fff,", "80:000,40:fff,000", "0:000,000,0:fff", "xyz,000", "1000,fff", "fff,000:000"]
)
def test_malformed_maps_are_refused(text):
    with pytest.raises(RequestError, match="colour map"):
        colour_map(text)


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(RequestError, match="'coldnhot'"):
        heatmap(np.ones((4, 4)), cmap="coldnhott")


@given(finite)
def test_any_values_give_a_picture_with_zero_in_the_middle(values):
    image = heatmap(values)
    assert image.mode == "P"
    assert image.size == values.shape[:0:-1]
    index, total = np.asarray(image), channel_sum(values)
    assert np.isfinite(normalised(total)).all()
    assert (index[total == 0] == 128).all()
    assert (index[total > 0] >= 128).all()
    assert (index[total < 0] <= 128).all()


@pytest.mark.parametrize("values", [np.zeros((3, 5, 5)), np.full((5, 5), np.nan)])
def test_nothing_to_show_is_the_neutral_colour(values):
    assert (np.asarray(heatmap(values).convert("RGB")) == 0).all()
    assert (rgb_heatmap(values, "bwr") == 255).all()


def test_an_all_negative_picture_stays_on_the_negative_side():
    shown = np.asarray(heatmap(-np.arange(1.0, 26).reshape(5, 5), "bwr").convert("RGB")).astype(int)
    assert (shown[..., 2] == 255).all()
    assert (shown[..., 0] < 255).all()


def test_level_saturates_and_not_symmetric_spans_the_map():
    values = np.linspace(0, 1, 25).reshape(5, 5)
    plain, strong = (
        np.asarray(heatmap(values, "gray", level=x).convert("L")).astype(int) for x in (1.0, 4.0)
    )
    assert (strong >= plain).all()
    assert (strong == 255).sum() > (plain == 255).sum()
    assert np.asarray(heatmap(values, "gray", symmetric=False)).flat[0] == 0


def test_layouts_agree_and_tensors_work():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(size=(3, 6, 6))
    expected = np.asarray(heatmap(values))
    for same in (np.moveaxis(values, 0, -1), values.sum(0), torch.tensor(values, requires_grad=True)):
        assert (np.asarray(heatmap(same)) == expected).all()


def test_overlay_is_the_grey_input_where_nothing_is_relevant():
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    relevance = np.zeros((3, 6, 6))
    relevance[:, 2, 3] = 1
    shown = overlay(relevance, picture, "bwr")
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    assert shown[2, 3, 0] > 220
    assert (shown[0] == grey[0][:, None]).all()
    assert overlay(np.ones((3, 3)), picture).shape == picture.shape
