"""Relevance maps to features: shapes, sums that survive, maps without relevance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backlight.core.errors import RequestError
from backlight.plugins.processors import preprocessing
from backlight.plugins.processors.preprocessing import ChannelSum, Flatten, Normalise, Pool

MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=4, max_dims=4, max_side=6),
    elements=st.floats(-(2.0**99), 2.0**99, width=32),
)


def test_channel_sum_adds_channels_of_each_sample():
    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 6))
    summed = ChannelSum()(relevance=maps)["relevance"]
    assert summed.shape == (3, 1, 5, 6)
    np.testing.assert_allclose(summed[:, 0], np.einsum("nchw->nhw", maps), rtol=1e-5, atol=1e-6)


def test_grey_maps_without_channel_axis_are_one_channel():
    maps = np.ones((3, 5, 6), np.float32)
    assert Flatten()(relevance=maps)["features"].shape == (3, 30)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 0, 4, 4), (1, 2, 3, 4, 5)])
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(RequestError, match=r"relevance has shape .* expected \(N, C, H, W\)"):
        ChannelSum()(relevance=np.zeros(shape))


def test_pooling_averages_cells():
    maps = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    pooled = Pool(2)(relevance=maps)["relevance"]
    np.testing.assert_array_equal(pooled[0, 0], [[2.5, 4.5], [10.5, 12.5]])


@pytest.mark.parametrize(("by", "of_cell"), [("mean", np.mean), ("sum", np.sum), ("max", np.max)])
def test_pooling_leaves_of_every_cell_what_is_asked_for(by, of_cell):
    maps = np.random.default_rng(0).normal(size=(3, 2, 7, 5)).astype(np.float32)
    rows, columns = (0, 2, 5, 7), (0, 2, 3, 5)  # 7/3 and 5/3 pixels each, rounded
    pooled = Pool(3, by)(relevance=maps)["relevance"]
    for i in range(3):
        for j in range(3):
            cell = maps[:, :, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            np.testing.assert_allclose(pooled[:, :, i, j], of_cell(cell, axis=(2, 3)), rtol=1e-5, atol=1e-6)


@given(side=st.integers(1, 40), grid=st.integers(1, 40))
def test_pooling_constant_maps_changes_nothing_but_size(side, grid):
    pooled = Pool(grid)(relevance=np.full((2, 1, side, 7), 3.0, np.float32))["relevance"]
    assert pooled.shape == (2, 1, min(side, grid), min(7, grid))
    np.testing.assert_allclose(pooled, 3.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("by", "norm"),
    [
        ("sum", lambda r: np.abs(r).sum()),
        ("max", lambda r: np.abs(r).max()),
        ("l2", np.linalg.norm),
        ("hellinger", lambda r: np.square(r).sum()),
    ],
)
@given(maps=MAPS)
def test_normalised_maps_have_norm_one_or_are_zero(by, norm, maps):
    normalised = Normalise(by)(relevance=maps)["relevance"]
    for before, after in zip(maps, normalised, strict=True):
        if before.any():
            np.testing.assert_allclose(norm(after.astype(np.float64)), 1.0, rtol=1e-5)
            assert (after * np.sign(before) >= 0).all()
        else:
            assert not after.any()


def test_maps_that_cancel_are_normalised_by_absolute_values():
    relevance = np.array([[[[1.0, -1.0]]]], np.float32)
    np.testing.assert_array_equal(Normalise()(relevance=relevance)["relevance"], [[[[0.5, -0.5]]]])


def test_distances_of_roots_of_shares_are_hellingers():
    one, other = np.array([1.0, 2.0, 0.0, 5.0]), np.array([0.0, 30.0, 40.0, 30.0])
    a, b = Normalise("hellinger")(relevance=np.stack([one, other])[:, :, None, None])["relevance"].squeeze()
    overlap = sum(np.sqrt(p / 8 * q / 100) for p, q in zip(one, other, strict=True))  # Bhattacharyya's
    assert np.square(a - b).sum() == pytest.approx(2 - 2 * overlap)
    signed = Normalise("hellinger")(relevance=np.array([[[[-1.0, 3.0]]]]))["relevance"]
    np.testing.assert_allclose(signed, [[[[-0.5, np.sqrt(0.75)]]]], rtol=1e-6)


def test_inputs_are_left_as_they_are():
    maps = np.random.default_rng(0).normal(size=(3, 2, 8, 8)).astype(np.float32)
    before = maps.copy()
    for processor in (ChannelSum(), Pool(3), Normalise(), Flatten()):
        processor(relevance=maps)
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("n", [0, 1])
def test_no_sample_and_one_sample(n):
    maps = np.ones((n, 3, 8, 8), np.float32)
    for processor in (ChannelSum(), Pool(3), Normalise(), Flatten()):
        (result,) = processor(relevance=maps).values()
        assert len(result) == n


def test_parameters_out_of_range_are_refused():
    with pytest.raises(RequestError, match="grid is 0"):
        Pool(0)
    with pytest.raises(RequestError, match="pool: by is 'median', expected mean, sum or max"):
        Pool(by="median")
    with pytest.raises(RequestError, match="by is 'mean'"):
        Normalise("mean")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_refused_with_their_row(value):
    maps = np.ones((3, 1, 2, 2), np.float32)
    maps[1, 0, 0, 1] = value
    with pytest.raises(RequestError, match="1 of 3 maps are not finite, the first in row 1"):
        Normalise()(relevance=maps)


@pytest.mark.parametrize("by", ["sum", "max", "l2", "z-score", "hellinger"])
def test_maps_are_normalised_each_for_itself(by, monkeypatch):
    maps = np.random.default_rng(0).normal(size=(10, 1, 4, 4)).astype(np.float32)
    alone = [Normalise(by)(relevance=one[None])["relevance"] for one in maps]
    monkeypatch.setattr(preprocessing, "_PART_BYTES", 3 * maps[0].nbytes)
    np.testing.assert_array_equal(Normalise(by)(relevance=maps)["relevance"], np.concatenate(alone))
