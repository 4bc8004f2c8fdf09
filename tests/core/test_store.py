"""Files appear whole or not at all; pictures in every layout a dataset may have."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from backlight.core.errors import FormatError
from backlight.core.store import Rows, atomic_hdf5, atomic_text, channels_first, displayable, open_hdf5


def test_a_failure_in_the_middle_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file.h5"
    with atomic_hdf5(path) as file:
        file["x"] = 1
    with pytest.raises(ZeroDivisionError), atomic_hdf5(path) as file:
        file["x"] = 2
        raise ZeroDivisionError
    with open_hdf5(path) as file:
        assert file["x"][()] == 1
    assert os.listdir(tmp_path) == ["file.h5"]  # noqa: PTH208


def test_a_process_killed_in_the_middle_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    atomic_text(path, "old")
    code = (
        "import sys, os, signal; from pathlib import Path; from backlight.core.store import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as part:\n"
        "    part.write_text('new'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("damage", ["missing", "truncated", "text"])
def test_what_is_no_hdf5_file_is_named(tmp_path, damage):
    path = tmp_path / "file.h5"
    if damage == "truncated":
        with atomic_hdf5(path) as file:
            file["x"] = np.zeros(10000)
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("hello")
    with pytest.raises(FormatError, match=r"file\.h5"):
        open_hdf5(path)


def rows(tmp_path, form, arrays):
    path = Path(tmp_path) / f"{form}.h5"
    with h5py.File(path, "w") as file:
        if form == "dataset":
            file["data"] = np.stack(arrays)
        else:
            for key, array in arrays.items():
                file[f"data/{key}"] = array
    return Rows(h5py.File(path, "r"), "data")


@given(positions=st.lists(st.integers(0, 8), max_size=20))
def test_any_positions_come_in_the_order_asked_for(tmp_path_factory, positions):
    arrays = [np.full((2, 3), i) for i in range(9)]
    opened, wanted = rows(tmp_path_factory.mktemp("rows"), "dataset", arrays), np.array(positions, dtype=int)
    found = opened.take(wanted)
    assert opened.stacked(wanted)[:, 0, 0].tolist() == positions
    assert [int(a[0, 0]) for a in found] == positions


def test_a_group_is_in_byte_order_of_its_keys(tmp_path):
    found = rows(tmp_path, "group", {"1": np.array(1), "2": np.array(2), "10": np.array(10)})
    assert [int(a) for a in found.all()] == [1, 10, 2]


@pytest.mark.parametrize("position", [-1, 3])
def test_a_position_that_is_not_there_is_named(tmp_path, position):
    found = rows(tmp_path, "dataset", [np.zeros(1)] * 3)
    with pytest.raises(FormatError, match="has 3 samples"):
        found[position]
    with pytest.raises(FormatError, match="has 3 samples"):
        found.take(np.array([0, position]))


@pytest.mark.parametrize("shape", [(3, 5, 7), (5, 7, 3), (1, 5, 7), (5, 7, 1), (5, 7)])
def test_the_channel_axis_is_found(shape):
    assert channels_first(np.zeros(shape)).shape[1:] == (5, 7)


@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64]),
        st.sampled_from([(3, 5, 4), (5, 4, 3), (1, 5, 4), (5, 4), (4, 6, 5)]),
        elements={"allow_nan": True, "allow_infinity": True},
    )
)
def test_anything_can_be_shown(array):
    shown = displayable(array)
    assert shown.dtype == np.uint8
    assert shown.ndim == 3
    assert shown.shape[2] == 3


def test_floats_up_to_one_and_bytes_show_alike():
    picture = np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8)
    np.testing.assert_array_equal(displayable(picture), displayable(picture / 255))
    np.testing.assert_array_equal(displayable(picture[:1]), displayable(picture[0]))


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_shard_that_is_gone_or_cut_short_is_named_and_never_read_as_zeros(tmp_path, damage):
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        file["x"] = np.ones((4, 1000))
    with h5py.File(tmp_path / "joined.h5", "w") as file:
        layout = h5py.VirtualLayout((4, 1000), float)
        layout[:] = h5py.VirtualSource("shard.h5", "x", shape=(4, 1000))
        file.create_virtual_dataset("x", layout)
    if damage == "missing":
        (tmp_path / "shard.h5").unlink()
    else:
        (tmp_path / "shard.h5").write_bytes((tmp_path / "shard.h5").read_bytes()[:3000])
    with open_hdf5(tmp_path / "joined.h5") as file, pytest.raises(FormatError, match=r"joined\.h5"):
        Rows(file, "x").all()
