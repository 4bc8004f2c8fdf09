"""Sources: folders of pictures, HDF5 in both forms, datasets by factory; each mistake in a sentence."""

import h5py
import numpy as np
import pytest
import torchvision
from PIL import ExifTags, Image

from backlight.core.errors import FormatError, RequestError
from backlight.core.sources.data import DatasetSource, open_source
from backlight.core.sources.subset import chosen
from backlight.core.sources.torchvision_sets import TORCHVISION


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


def test_photographs_on_their_side_are_read_as_torchvision_reads_them_and_told(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 200
    upright, turned = Image.Exif(), Image.Exif()
    upright[ExifTags.Base.Orientation], turned[ExifTags.Base.Orientation] = 1, 6
    (tmp_path / "cat").mkdir()
    for name, exif in {"1.jpg": upright, "2.jpg": turned, "3.png": turned}.items():
        Image.fromarray(pixels).save(tmp_path / "cat" / name, exif=exif)
    Image.fromarray(pixels).save(tmp_path / "cat/4.jpg")
    (tmp_path / "cat/5.jpg").write_bytes(b"no picture")
    found = open_source(str(tmp_path))
    (note,) = found.notes()
    assert note.startswith("2 of 5 pictures")
    assert chosen(found, per_class=1).notes() == found.notes()
    for number, (theirs, _) in zip(range(4), torchvision.datasets.ImageFolder(tmp_path), strict=False):
        np.testing.assert_array_equal(found.picture(number), np.asarray(theirs))
    for name in ("2.jpg", "3.png"):
        (tmp_path / "cat" / name).unlink()
    assert open_source(str(tmp_path)).notes() == ()


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


def write_mnist(folder, part, pictures, labels):
    """Write the files of MNIST as its authors describe them: a magic number, sizes, bytes."""
    for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
        header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
        path = folder / "MNIST/raw" / f"{part}-{kind}-ubyte"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + array.astype(np.uint8).tobytes())


def test_a_torchvision_dataset_by_name_in_both_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pictures = {"train": rng.integers(0, 256, (6, 28, 28)), "test": rng.integers(0, 256, (4, 28, 28))}
    labels = np.arange(6) % 5
    for part, split in (("train", "train"), ("t10k", "test")):
        write_mnist(tmp_path / "datasets", part, pictures[split], labels[: len(pictures[split])])
    for split, written in pictures.items():
        count = len(written)
        source = open_source("mnist", split=split)
        assert (len(source), source.training(0)) == (count, split == "train")
        assert [source.label(k) for k in range(count)] == labels[:count].tolist()
        np.testing.assert_array_equal(source.picture(2), np.repeat(written[2][..., None], 3, -1))
    assert len(source.classes) == 10


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_name_is_a_dataset_that_torchvision_looks_for(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        with pytest.raises(RequestError, match=f"dataset '{name}' is not in"):
            open_source(name, split=split)


def test_a_folder_of_parts_gives_the_one_asked_for(folder):
    (folder / "dog").rename(folder / "train")
    (folder / "cat").rename(folder / "val")
    for part, name in (("train", "deep"), ("val", "x")):
        (folder / part / name).mkdir(exist_ok=True)
        save(folder / part / name / "p.png")
    source = open_source(str(folder), split="test")
    assert (list(source.classes), source.origin(0), source.training(0)) == (["x"], "x/p.png", False)
    assert open_source(str(folder), split="train").training(0) is True


class Private:
    """Keeps labels as torchvision's newer datasets do; reading a picture would be noticed."""

    _labels = (1, 0, 2)

    def __len__(self):
        return 3

    def __getitem__(self, number):
        raise AssertionError("a picture was read for its label")


def test_labels_are_had_without_reading_pictures():
    source = DatasetSource(Private(), "private")
    assert [source.label(k) for k in range(3)] == [1, 0, 2]


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
