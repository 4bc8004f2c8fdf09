"""What is kept: precision, compression, channels, layers; the choice changes the form, not the relevance."""

import h5py
import numpy as np
import pytest
import torch
from test_attributing import SMALL, Pictures, content, network

from backlight.core.errors import RequestError
from backlight.core.explainer import Explainer
from backlight.core.project import open_project
from backlight.core.run import Output, Settings, attribute_dataset, verify
from backlight.core.sources.subset import chosen, read_index

EVERY = np.arange(10)


def attributed(root, source=None, **output):
    settings = Settings(SMALL.preprocessing, batch_size=2, shard_size=4, output=Output(**output))
    explainer = Explainer(network(), composite="epsilon")
    attribute_dataset(explainer, Pictures() if source is None else source, root, settings)
    assert verify(root) == []
    return open_project(root)


def test_forms_of_relevance_agree(tmp_path):
    with attributed(tmp_path / "raw") as project:
        raw = project.attributions.relevances(EVERY)
    with attributed(tmp_path / "half", precision="float16") as project:
        half = project.attributions.relevances(EVERY)
    with attributed(tmp_path / "sum", channels="sum") as project:
        total = project.attributions.relevances(EVERY)
    with h5py.File(tmp_path / "half" / "attribution.h5") as file:
        assert file["attribution"].dtype == np.float16
    np.testing.assert_allclose(half, raw, rtol=2**-10, atol=2**-24)
    np.testing.assert_allclose(total, raw.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_is_given_its_own(tmp_path, dtype):
    explainer = Explainer(network().to(dtype), composite="epsilon")
    attribute_dataset(explainer, Pictures(), tmp_path, SMALL)
    found = content(tmp_path)["attribution.h5/attribution"]
    assert found.dtype == np.float32
    for first in range(0, 10, 2):
        pair = np.stack([Pictures().picture(first), Pictures().picture(first + 1)])
        by_hand = explainer.explain(SMALL.preprocessing.inputs(pair).to(dtype), torch.tensor([0, 1]))
        np.testing.assert_array_equal(found[first : first + 2], by_hand.relevance.float().numpy())


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_compression_is_as_asked_and_lossless(tmp_path, compression):
    with attributed(tmp_path / "run", compression=compression) as project:
        np.testing.assert_array_equal(project.dataset.image(3), Pictures().picture(3))
    for kind, key in (("data", "data"), ("attribution", "attribution")):
        with h5py.File(tmp_path / "run" / kind / "shard-00001.h5") as file:
            assert (file[key].compression or "none") == compression


def test_relevance_of_layers_is_kept_pooled_or_in_full(tmp_path):
    with attributed(tmp_path / "full", layers=("0", "3"), pooling="full") as project:
        assert project.attributions.layers == ["0", "3"]
        full = project.attributions.layer("0", EVERY[::-1])
        assert full.shape == (10, 4, 8, 8)
    with attributed(tmp_path / "pooled", layers=("0", "3")) as project:
        pooled = project.attributions.layer("0", EVERY[::-1])
        last = project.attributions.layer("3", EVERY)
        with pytest.raises(RequestError, match="unknown layer"):
            project.attributions.layer("7", EVERY)
    np.testing.assert_allclose(pooled, full.sum((2, 3)), rtol=1e-5, atol=1e-6)
    by_hand = Explainer(network(), composite="epsilon").explain(
        SMALL.preprocessing.inputs(Pictures().picture(9)[None]), 1, layers=("0",)
    )
    np.testing.assert_allclose(full[0], by_hand.layers["0"][0].numpy(), rtol=1e-4, atol=1e-6)
    assert last.shape == (10, 2)


@pytest.mark.parametrize(
    "wrong", [{"precision": "float8"}, {"compression": "zip"}, {"channels": "all"}, {"pooling": "none"}]
)
def test_a_form_that_is_not_known_is_named(wrong):
    with pytest.raises(RequestError, match=next(iter(wrong))):
        Output(**wrong)


def test_a_part_of_the_data_keeps_its_origins(tmp_path):
    part = chosen(Pictures(), classes=["dog"], split="train")
    with attributed(tmp_path / "run", part) as project:
        assert [project.dataset.file_name(i) for i in range(3)] == ["1", "3", "5"]
        np.testing.assert_array_equal(project.dataset.image(2), Pictures().picture(5))


def test_parts_by_class_index_split_and_number(tmp_path):
    source = Pictures(n=30)

    def numbers(**choice):
        part = chosen(source, **choice)
        return [int(part.origin(i)) for i in range(len(part))]

    (tmp_path / "index.txt").write_text("4 2\n9\n2\n")
    np.save(tmp_path / "index.npy", [7, 8])
    (tmp_path / "index.json").write_text("[1, 0]")
    assert numbers(classes=["cat"]) == list(range(0, 30, 2))
    assert numbers(index=tmp_path / "index.txt") == [2, 4, 9]
    assert numbers(index=tmp_path / "index.npy", classes=["cat"]) == [8]
    assert numbers(index=tmp_path / "index.json") == [0, 1]
    assert numbers(split="test") == list(range(7, 30))
    drawn = numbers(per_class=3, seed=1)
    assert len(drawn) == 6 and drawn == sorted(drawn) and drawn == numbers(per_class=3, seed=1)
    assert drawn != numbers(per_class=3, seed=2)
    assert chosen(source, per_class=99) is source


@pytest.mark.parametrize(
    ("text", "sentence"), [("1 x", "cannot be read as sample numbers"), ("30", "the data has 0 to 29")]
)
def test_an_index_file_that_does_not_fit_is_named(tmp_path, text, sentence):
    (tmp_path / "index.txt").write_text(text)
    with pytest.raises(RequestError, match=sentence):
        read_index(tmp_path / "index.txt", 30)
