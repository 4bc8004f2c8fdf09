"""Preprocessing: sizes, normalisation and the bounds the box rule needs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backlight.core.errors import RequestError
from backlight.core.sources.preprocessing import Preprocessing


@given(
    picture=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_any_picture_fits_any_size(picture, size):
    assert Preprocessing(size=size).fit(np.zeros((*picture, 3), np.uint8)).shape == (*size, 3)


def test_the_centre_is_kept():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 200
    assert (Preprocessing(size=(10, 10)).fit(picture) == 200).all()


def test_inputs_are_normalised_by_channel_and_lie_within_the_bounds():
    preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    pictures = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    inputs = preprocessing.inputs(pictures)
    low, high = preprocessing.bounds
    np.testing.assert_allclose(inputs[0, :, 0, 0], low, rtol=1e-6)
    np.testing.assert_allclose(inputs[1, :, 0, 0], high, rtol=1e-6)
    np.testing.assert_allclose(high[1], (1 - 0.2) / 0.25)


def test_a_thread_that_normalises_starts_no_others():
    """OpenMP would give it a team of its own, and have the model's threads wait for a core."""
    pictures = np.zeros((8, 96, 96, 3), np.uint8)

    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    def normalise():
        before = threads()
        Preprocessing(mean=(0.5,) * 3).inputs(pictures)
        return threads() - before

    had = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(normalise).result() == 0
    finally:
        torch.set_num_threads(had)


@pytest.mark.parametrize("wrong", [{"mean": (0.5,)}, {"std": (0.0, 1.0, 1.0)}])
def test_wrong_statistics_are_named(wrong):
    with pytest.raises(RequestError, match="expected three values each"):
        Preprocessing(**wrong)


@pytest.mark.parametrize("shape", [(300, 400), (257, 233), (40, 90)])
def test_a_resize_gives_what_torchvisions_preset_gives(shape):
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    preset = ResNet18_Weights.DEFAULT.transforms()
    preprocessing = Preprocessing((224, 224), tuple(preset.mean), tuple(preset.std), 256, "bilinear")
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ours = preprocessing.inputs(preprocessing.fit(picture)[None])[0]
    torch.testing.assert_close(ours, preset(Image.fromarray(picture)), rtol=1e-6, atol=1e-6)
