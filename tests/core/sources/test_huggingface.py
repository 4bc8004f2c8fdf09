"""Models of transformers, saved to a folder: outputs, classes and pictures are those of transformers."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from backlight.core.errors import BacklightError, RequestError
from backlight.core.explainer import Explainer
from backlight.core.run import attribute_dataset, verify
from backlight.core.run.preparing import prepare
from backlight.core.run_config import Config
from backlight.core.sources.huggingface import as_preprocessing
from backlight.core.sources.models import load_model
from backlight.core.sources.pretrained import pretrained

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: hf)")


def vit():
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
        patch_size=8, id2label={0: "cat", 1: "dog", 2: "fish"}, label2id={"cat": 0, "dog": 1, "fish": 2},
    )  # fmt: skip
    size = {"height": 32, "width": 32}
    return transformers.ViTForImageClassification(config), transformers.ViTImageProcessor(size=size)


def resnet():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3)
    size = {"shortest_edge": 28}
    processor = transformers.ConvNextImageProcessor(size=size, crop_pct=0.875, image_std=[0.2, 0.3, 0.4])
    return transformers.ResNetForImageClassification(config), processor


@pytest.fixture(params=[vit, resnet], ids=["vit", "resnet"])
def saved(request, tmp_path):
    torch.manual_seed(0)
    model, processor = request.param()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "model")
    return f"hf/{tmp_path}/model", model.eval(), processor


def picture(height=45, width=70):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 5, columns * 3, rows + columns], -1).astype(np.uint8)


def test_the_model_is_the_one_that_was_saved(saved):
    spec, model, _ = saved
    inputs = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(load_model(spec, "DEFAULT")(inputs).logits, model(inputs).logits)


def test_pictures_become_what_the_image_processor_makes_of_them(saved):
    spec, _, processor = saved
    preprocessing = pretrained(spec, "DEFAULT").preprocessing
    ours = preprocessing.inputs(preprocessing.fit(picture())[None])[0]
    theirs = processor(Image.fromarray(picture()), return_tensors="pt")["pixel_values"][0]
    assert ours.shape == theirs.shape
    step = 1 / 255 / min(preprocessing.std)  # one grey level; resizing rounds in two ways
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2 * step)


def test_relevance_is_conserved_through_an_output_that_is_a_mapping(saved):
    spec, _, _ = saved
    model = load_model(spec, "DEFAULT").eval()
    explained = Explainer(model, composite="epsilon").explain(torch.rand(2, 3, 32, 32), 1)
    assert explained.output.shape == (2, 3)
    assert explained.relevance.isfinite().all() and explained.relevance.abs().sum() > 0
    assert not explained.coverage.uncovered


def test_a_run_of_such_a_model(saved, tmp_path):
    spec, _, _ = saved
    for number in range(4):
        path = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40 + number, 60)).save(path)
    config = Config(
        model=spec, weights="DEFAULT", data=str(tmp_path / "pictures"), out="run", target="predicted"
    )
    ready = prepare(config)
    attribute_dataset(ready.explainer, ready.source, tmp_path / "run", ready.settings)
    assert verify(tmp_path / "run") == []


def test_classes_are_those_of_the_configuration(tmp_path):
    model, _ = vit()
    model.save_pretrained(tmp_path)
    assert pretrained(f"hf/{tmp_path}", "DEFAULT").classes == ("cat", "dog", "fish")


CROP = {"height": 224, "width": 224}


@pytest.mark.parametrize(
    ("processor", "size", "resize", "stretch"),
    [
        ({"size": {"height": 20, "width": 30}}, (20, 30), None, True),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.9}, (384, 384), None, True),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, (224, 224), 256, False),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": CROP},
            (224, 224), 256, False,
        ),
        ({"do_resize": False}, None, None, False),
    ],
)  # fmt: skip
def test_sizes_of_image_processors(processor, size, resize, stretch):
    found = as_preprocessing({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **processor}, "hf/x")
    assert (found.size, found.resize, found.stretch) == (size, resize, stretch)


def test_scaling_of_another_kind_is_the_same_function():
    found = as_preprocessing(
        {"do_resize": False, "do_rescale": False, "image_mean": [100] * 3, "image_std": [50] * 3}, "x"
    )
    pixel = np.full((1, 1, 3), 200, np.uint8)
    np.testing.assert_allclose(found.inputs(pixel[None]).ravel(), (200 - 100) / 50, rtol=1e-6)


def test_what_a_run_does_not_know_or_cannot_have_is_said(tmp_path):
    with pytest.raises(RequestError, match="channels in the order BGR"):
        as_preprocessing({"do_flip_channel_order": True}, "hf/x")
    with pytest.raises(RequestError, match="add --download to fetch them"):
        load_model("hf/nobody/nothing", "DEFAULT")
    model, _ = vit()
    model.save_pretrained(tmp_path)
    with pytest.raises(RequestError, match="num_classes cannot be chosen"):
        load_model(f"hf/{tmp_path}", "DEFAULT", num_classes=5)
    with pytest.raises(BacklightError, match="cannot be read by transformers"):
        _ = pretrained(f"hf/{tmp_path}", "DEFAULT").preprocessing
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BacklightError, match="cannot be read by transformers"):
        load_model(f"hf/{tmp_path}", "DEFAULT")
