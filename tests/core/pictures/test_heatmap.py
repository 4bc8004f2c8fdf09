"""Colour maps and heatmaps against the published formulas, and for inputs that must not break them."""

import io

import matplotlib.colors  # noqa: F401  # takes longer than hypothesis allows an example to
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from backlight.core.errors import RequestError
from backlight.core.pictures.heatmap import (
    COLOUR_MAPS,
    channel_sum,
    colour_map,
    heatmap,
    normalised,
    overlay,
    recolour,
    rgb_heatmap,
    scaled,
)

HEX = "0123456789abcdefABCDEF"
colours = st.one_of(st.text(HEX, min_size=3, max_size=3), st.text(HEX, min_size=6, max_size=6))
finite = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(4, 7), st.integers(4, 7)),
    elements=st.floats(width=32),
)


@st.composite
def written_maps(draw):
    """Maps in the mini language with random indices, of 2 to 6 colours."""
    nodes = draw(
        st.lists(st.tuples(st.integers(0, 255), colours), min_size=2, max_size=6, unique_by=lambda n: n[0])
    )
    return ",".join(f"{index:02x}:{colour}" for index, colour in sorted(nodes))


maps = st.one_of(st.sampled_from(sorted(COLOUR_MAPS)), written_maps())


def saved(image):
    """Write an image as PNG and read it again."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return Image.open(io.BytesIO(file.getvalue()))


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
    halves = torch.tensor(values).bfloat16()  # numpy has no such type
    assert (np.asarray(heatmap(halves)) == np.asarray(heatmap(halves.double().numpy()))).all()


def test_overlay_is_the_grey_input_where_nothing_is_relevant():
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    relevance = np.zeros((3, 6, 6))
    relevance[:, 2, 3] = 1
    shown = overlay(relevance, picture, "bwr")
    grey = np.asarray(Image.fromarray(picture).convert("L"))
    assert shown[2, 3, 0] > 220
    assert (shown[0] == grey[0][:, None]).all()
    assert overlay(np.ones((3, 3)), picture).shape == picture.shape


@given(finite, maps, maps, st.floats(0.25, 8))
def test_a_saved_heatmap_is_recoloured_as_if_it_had_been_made_so(values, first, second, level):
    again = recolour(saved(heatmap(values, first)), second, level)
    expected = heatmap(values, second, level)
    assert (np.asarray(again.convert("RGB")) == np.asarray(expected.convert("RGB"))).all()


@given(finite, maps, maps)
def test_recolouring_is_off_by_a_256th_of_the_scale_at_most(values, first, second):
    """Between two neighbours on the scale a colour changes by no more than the map's steepest slope."""
    again = np.asarray(recolour(saved(heatmap(values, first)), second).convert("RGB")).astype(float)
    exact = rgb_heatmap(values, second).astype(float)
    mapped = colour_map(second)
    slope = np.abs(np.diff(np.array(mapped.colours), axis=0)).max(1) / np.diff(mapped.positions)
    assert np.abs(again - exact).max() <= slope.max() / 256 + 1


def test_a_picture_without_palette_cannot_be_recoloured():
    with pytest.raises(RequestError, match="no palette but mode RGB"):
        recolour(heatmap(np.ones((4, 4))).convert("RGB"), "bwr")


@given(finite, maps)
def test_matplotlib_shows_the_same_colours(values, name):
    mapped = colour_map(name).matplotlib("of ours")
    shown = mapped(normalised(channel_sum(values)), bytes=True)[..., :3].astype(int)
    expected = np.asarray(heatmap(values, name).convert("RGB")).astype(int)
    assert mapped.name == "of ours"
    assert np.abs(shown - expected).max() <= 1  # matplotlib truncates where Pillow has whole numbers


def test_scalings_reach_the_palette():
    values = np.array([[-4.0, -1.0, 0.0, 1.0, 2.0]])
    for scaling, reference, expected in [
        ("image", None, [0, 96, 128, 160, 192]),
        ("shared", 8.0, [64, 112, 128, 144, 160]),
        ("gamma", None, [0, 64, 128, 192, 218]),  # 128 + 128 * sqrt(2/4) = 218.5
        ("positive", None, [128, 128, 128, 192, 255]),
        ("negative", None, [0, 96, 128, 128, 128]),
    ]:
        index = np.asarray(heatmap(values, scaling=scaling, reference=reference))[0].tolist()
        assert index == expected, scaling
        assert scaled(values, scaling, reference)[0] == pytest.approx(np.array(expected) / 256, abs=1 / 256)


@pytest.mark.parametrize("level", [0, -1, float("nan"), float("inf")])
def test_a_level_that_shows_nothing_is_refused(level):
    for draw in (heatmap, rgb_heatmap):
        with pytest.raises(RequestError, match="level is"):
            draw(np.ones((4, 4)), level=level)


def test_one_sign_cannot_lie_off_the_middle():
    with pytest.raises(RequestError, match="symmetric"):
        heatmap(np.ones((4, 4)), symmetric=False, scaling="positive")


def test_level_means_the_same_with_and_without_a_palette():
    values = np.linspace(-1, 1, 255 * 4).reshape(4, -1)
    palette = np.asarray(heatmap(values, "bwr", level=3.0).convert("RGB")).astype(int)
    exact = rgb_heatmap(values, "bwr", level=3.0).astype(int)
    assert np.abs(palette - exact).max() <= 3 * 255 / 128 + 1
