"""ViRelAy's image directories: order, labels off the path, every way to fit a size."""

import numpy as np
import pytest
import yaml
from PIL import Image

from backlight.core.errors import FormatError
from backlight.core.project import PROJECT_FILE, open_project
from backlight.core.projects.image_directory import DOWN, KEYS, UP, fit
from synthetic_run import write_run

ENTRY = {
    "name": "folder",
    "type": "image_directory",
    "path": "pictures",
    "label_index_regex": r"/(\d)_[a-z]+/",
    "label_word_net_id_regex": None,
    "input_width": 8,
    "input_height": 6,
    "down_sampling_method": "center_crop",
    "up_sampling_method": "fill_zeros",
}


@pytest.fixture
def run(tmp_path):
    run = write_run(tmp_path / "run").parent
    for folder in ("0_cat", "1_dog"):
        (run / "pictures" / folder).mkdir(parents=True)
        for k in (2, 10, 1):
            value = 10 * k + int(folder[0])
            Image.fromarray(np.full((6, 8, 3), value, np.uint8)).save(run / "pictures" / folder / f"{k}.png")
    (run / "pictures" / "readme.txt").write_text("no picture")
    return run


def opened(run, **change):
    document = yaml.safe_load((run / PROJECT_FILE).read_text())
    document["project"]["dataset"] = {k: v for k, v in (ENTRY | change).items() if v != "absent"}
    (run / PROJECT_FILE).write_text(yaml.safe_dump(document))
    return open_project(run)


def test_pictures_come_in_byte_order_with_their_labels(run):
    with opened(run) as project:
        dataset = project.dataset
        assert [dataset.file_name(k) for k in range(len(dataset))] == [
            f"{folder}/{k}.png" for folder in ("0_cat", "1_dog") for k in (1, 10, 2)
        ]
        assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert [dataset.image(k)[0, 0, 0] for k in range(6)] == [10, 100, 20, 11, 101, 21]


def test_word_net_ids_name_labels(run):
    (run / "labels.json").write_text(
        '[{"index": 5, "word_net_id": "cat", "name": "a cat"},'
        ' {"index": 7, "word_net_id": "dog", "name": "a dog"}]'
    )
    with opened(run, label_index_regex=None, label_word_net_id_regex=r"\d_([a-z]+)/") as project:
        assert project.dataset.labels.tolist() == [5, 5, 5, 7, 7, 7]


@pytest.mark.parametrize("key", KEYS)
def test_all_six_keys_are_needed(run, key):
    with pytest.raises(FormatError, match=key):
        opened(run, **{key: "absent"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label_word_net_id_regex": "(x)"}, "exactly one"),
        ({"label_index_regex": None}, "exactly one"),
        ({"label_index_regex": "("}, "no regular expression"),
        ({"label_index_regex": "x"}, "no group"),
        ({"input_width": 0}, "input_width is 0"),
        ({"input_height": "8"}, "input_height is '8'"),
        ({"down_sampling_method": "centre_crop"}, "did you mean 'center_crop'"),
        ({"up_sampling_method": "stretch"}, "unknown up_sampling_method"),
        ({"path": "nowhere"}, "is no folder"),
        ({"type": "folder"}, "expected 'hdf5' or 'image_directory'"),
    ],
)
def test_what_does_not_fit_is_named(run, change, says):
    with pytest.raises(FormatError, match=says):
        opened(run, **change)


def test_a_picture_that_is_none_and_a_link_that_leads_out(run, tmp_path):
    (run / "pictures/0_cat/0.png").write_bytes(b"not a picture")
    outside = tmp_path / "outside.png"
    Image.new("RGB", (8, 6)).save(outside)
    (run / "pictures/0_cat/00.png").symlink_to(outside)
    with opened(run) as project:
        with pytest.raises(FormatError, match="not a readable picture"):
            project.dataset.image(0)
        with pytest.raises(FormatError, match="leads out"):
            project.dataset.image(1)


RAMP = np.repeat(np.arange(4, dtype=np.uint8)[None, :, None], 4, axis=0).repeat(3, axis=2) + 1


@pytest.mark.parametrize(
    ("up", "row"),
    [
        ("none", [1, 2, 3, 4]),
        ("fill_zeros", [0, 1, 2, 3, 4, 0]),
        ("fill_ones", [255, 1, 2, 3, 4, 255]),
        ("edge_repeat", [1, 1, 2, 3, 4, 4]),
        ("mirror_edge", [1, 1, 2, 3, 4, 4]),
        ("wrap_around", [4, 1, 2, 3, 4, 1]),
    ],
)
def test_small_pictures_are_padded(up, row):
    assert fit(RAMP, 4, 6, "none", up)[0, :, 0].tolist() == row


def test_large_pictures_are_cut_in_the_middle_or_resized():
    assert fit(RAMP, 2, 2, "center_crop", "none")[..., 0].tolist() == [[2, 3], [2, 3]]
    assert fit(RAMP, 2, 2, "none", "none").shape == (4, 4, 3)
    assert fit(RAMP, 2, 3, "resize", "none").shape == (2, 3, 3)


@pytest.mark.parametrize("down", DOWN[1:])
@pytest.mark.parametrize("up", UP[1:])
@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (2, 2), (20, 20), (6, 8)])
def test_every_pair_of_methods_reaches_the_size(down, up, shape):
    assert fit(np.zeros((*shape, 3), np.uint8), 6, 8, down, up).shape == (6, 8, 3)
