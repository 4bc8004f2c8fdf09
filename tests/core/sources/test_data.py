"""Sources: folders of pictures, HDF5 in both forms, datasets by factory; each mistake in a sentence."""

import h5py
import numpy as np
import pytest
from PIL import Image

from backlight.core.errors import FormatError, RequestError
from backlight.core.sources.data import open_source


def save(path, value=100, mode="RGB", size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    save(root / "dog" / "a.png", 10)
    save(root / "dog" / "deep" / "b.jpg", 20)
    save(root / "cat" / "c.bmp", 30, mode="L")
    save(root / "cat" / "d.png", 40, mode="RGBA")
    (root / "cat" / "readme.txt").write_text("no picture")
    return root


def test_a_folder_of_class_folders(folder):
    source = open_source(str(folder))
    assert (source.name, list(source.classes), len(source)) == ("pictures", ["cat", "dog"], 4)
    assert [source.label(i) for i in range(4)] == [0, 0, 1, 1]
    assert [source.origin(i) for i in range(4)] == ["cat/c.bmp", "cat/d.png", "dog/a.png", "dog/deep/b.jpg"]
    assert [source.picture(i).shape for i in range(4)] == [(4, 6, 3)] * 4
    assert source.picture(2)[0, 0].tolist() == [10, 10, 10]


def test_a_picture_that_is_cut_short_is_named(folder):
    path = folder / "dog" / "a.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(FormatError, match=r"a\.png is not a readable picture"):
        open_source(str(folder)).picture(2)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(RequestError, match="holds no pictures in class sub-folders"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("form", ["dataset", "group"])
def test_hdf5_in_both_forms(tmp_path, form):
    pictures = np.random.default_rng(0).integers(0, 256, (12, 3, 5, 5), dtype=np.uint8)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        if form == "dataset":
            file["data"], file["label"] = pictures, np.arange(12) % 3
        else:
            for i in range(12):
                file[f"data/{i:02d}"], file[f"label/{i:02d}"] = pictures[i], np.uint16(i % 3)
    source = open_source(str(tmp_path / "d.h5"))
    assert len(source) == 12 and source.label(11) == 2 and len(source.classes) == 3
    np.testing.assert_array_equal(source.picture(7), np.moveaxis(pictures[7], 0, -1))


def test_a_truncated_hdf5_is_named(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["data"], file["label"] = np.zeros((50, 3, 5, 5)), np.zeros(50, int)
    whole = (tmp_path / "d.h5").read_bytes()
    (tmp_path / "d.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"d\.h5 is not a readable HDF5 file"):
        open_source(str(tmp_path / "d.h5"))


def test_hdf5_whose_labels_do_not_match_is_named(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["data"], file["label"] = np.zeros((5, 3, 5, 5)), np.zeros(4, int)
    with pytest.raises(FormatError, match="5 samples in 'data' but 4 in 'label'"):
        open_source(str(tmp_path / "d.h5"))


def test_a_dataset_by_factory(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from PIL import Image\n"
        "class Two:\n"
        "    classes = ['x', 'y']\n"
        "    def __len__(self): return 2\n"
        "    def __getitem__(self, i):\n"
        "        if i > 1: raise IndexError(i)\n"
        "        return Image.new('L', (4, 4), 50 * i), i\n"
    )
    source = open_source(f"{tmp_path}/mine.py:Two")
    assert len(source) == 2 and list(source.classes) == ["x", "y"]
    assert source.picture(1).shape == (4, 4, 3) and source.picture(1).max() == 50


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("cifar11", "did you mean .*'cifar10'"),
        ("/no/such/folder", "no such file or folder"),
        ("cifar10", "add --download to fetch it"),
        ("builtins:print", "does not yield"),
    ],
)
def test_what_is_no_data_is_said_in_a_sentence(spec, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match=sentence):
        open_source(spec)
