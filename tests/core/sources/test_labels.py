"""Names of classes: every form of a file, and targets in words."""

import json

import pytest
import torch

from backlight.core.errors import BacklightError, FormatError, RequestError
from backlight.core.sources.labels import Labels, imagenet, read_labels
from backlight.core.sources.pretrained import pretrained

NAMES = ("cat", "großer Hund", "axolotl")
FORMS = {
    "list.json": list(NAMES),
    "numbers.json": {str(n): name for n, name in reversed(list(enumerate(NAMES)))},
    "keras.json": {str(n): [f"n{n:08}", name] for n, name in enumerate(NAMES)},
    "virelay.json": [{"index": n, "word_net_id": f"n{n}", "name": name} for n, name in enumerate(NAMES)],
}


@pytest.mark.parametrize("form", FORMS)
def test_json_in_every_form(form, tmp_path):
    (tmp_path / form).write_text(json.dumps(FORMS[form]), encoding="utf-8")
    assert read_labels(tmp_path / form) == NAMES


def test_one_name_a_line(tmp_path):
    (tmp_path / "names.txt").write_text("cat\r\n\n großer Hund \naxolotl", encoding="utf-8")
    assert read_labels(tmp_path / "names.txt") == NAMES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("none.txt", None),
        ("bad.json", "{"),
        ("gap.json", '{"0": "cat", "2": "dog"}'),
        ("words.json", '{"cat": 0}'),
        ("number.json", "3"),
        ("numbers.json", "[1, 2]"),
        ("unnamed.json", '[{"index": 0}]'),
    ],
)
def test_a_file_that_does_not_fit_is_named(name, text, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=name):
        read_labels(tmp_path / name)


def test_libraries_give_the_names_of_their_weights():
    assert imagenet()[281:283] == ("tabby", "tiger cat")
    assert len(imagenet()) == 1000
    assert pretrained("vgg16", "DEFAULT").classes == imagenet()
    timm = pretrained("timm/resnet18", "DEFAULT").classes
    assert timm[281:283] == ("tabby", "tiger cat")
    assert len(timm) == 1000


OUTPUT = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0]])


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("predicted", [[1], [0]]),
        ("2", [[2], [2]]),
        ("axolotl", [[2], [2]]),
        ("top-2", [[1, 2], [0, 1]]),
        ("all", [[0, 1, 2], [0, 1, 2]]),
    ],
)
def test_targets_in_words(target, classes):
    assert Labels(NAMES).explained(OUTPUT, target).classes.tolist() == classes


def test_a_name_that_is_a_number_is_a_name():
    assert Labels(("2", "1", "0")).explained(OUTPUT, "0").classes.tolist() == [[2], [2]]


@pytest.mark.parametrize(
    ("names", "target", "sentence"),
    [
        (NAMES, "axolotel", "did you mean 'axolotl'"),
        ((), "cat", "give its number"),
        (("crane", "heron", "crane"), "crane", "outputs 0 and 2"),
        (NAMES, "3", "class 3, but the model has 3 outputs"),
        (NAMES, "top-4", "'top-4', but the model has 3 outputs"),
        (NAMES, "top-0", "top-0"),
        (NAMES[:2], "cat", "2 classes have a name, but the model has 3 outputs"),
    ],
)
def test_targets_that_nobody_can_explain(names, target, sentence):
    with pytest.raises(BacklightError, match=sentence) as caught:
        Labels(names).explained(OUTPUT, target)
    assert isinstance(caught.value, RequestError)


def test_an_output_without_name_has_a_number():
    assert [Labels(("cat",)).name(n) for n in (0, 1)] == ["cat", "class 1"]
