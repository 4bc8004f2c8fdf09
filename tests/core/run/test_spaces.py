"""Layers as spaces: the architecture tells which axis counts channels; relevance is pooled over others."""

import numpy as np
import pytest
import torch
from test_attributing import SMALL, Pictures
from torch import nn
from torchvision import models

from backlight.core.analysis import analyze
from backlight.core.errors import RequestError
from backlight.core.explainer import Explainer
from backlight.core.pipeline import Pipeline, Step
from backlight.core.project import open_project
from backlight.core.run import Output, Settings, attribute_dataset
from backlight.core.run.spaces import channel_axis
from backlight.plugins.processors.preprocessing import Flatten
from backlight.plugins.processors.reduction import Pca

CHANNELS = {
    "swin_t": {"features.0": 96, "features.1.0.mlp": 96, "features.3": 192, "norm": 768, "permute": 768},
    "convnext_tiny": {"features.1": 96, "features.1.0.block.2": 96, "features.1.0.block.3": 384},
    "vit_b_16": {"conv_proj": 768, "encoder.layers.encoder_layer_0": 768},
    "densenet121": {"features.denseblock1": 256, "features.transition1": 128},
    "resnet18": {"layer1": 64, "relu": 64, "layer4": 512, "fc": 1000},
}


@pytest.mark.parametrize("name", CHANNELS)
def test_the_axis_of_channels_is_the_one_that_the_paper_of_the_model_says(name):
    model, shapes = models.get_model(name, weights=None).eval(), {}
    for layer in CHANNELS[name]:
        keep = lambda module, args, out, layer=layer: shapes.__setitem__(layer, tuple(out.shape))  # noqa: E731
        model.get_submodule(layer).register_forward_hook(keep)
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    for layer, channels in CHANNELS[name].items():
        assert shapes[layer][channel_axis(model, layer, shapes[layer])] == channels, layer


class Last(nn.Module):
    """Turns (N, C, H, W) into (N, H, W, C), as Swin does."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def channels_last():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), Last(), nn.LayerNorm(4), nn.Flatten(), nn.Linear(36, 2)
    ).eval()


def attributed(root, **output):
    settings = Settings(SMALL.preprocessing, output=Output(layers=("0", "2", "3"), **output))
    attribute_dataset(Explainer(channels_last(), composite="epsilon"), Pictures(30), root, settings)
    return root


def test_channels_last_are_pooled_over_positions_and_kept_channels_first(tmp_path):
    inputs = SMALL.preprocessing.inputs(np.stack([Pictures().picture(k) for k in range(30)]))
    labels = torch.arange(30) % 2
    by_hand = Explainer(channels_last(), composite="epsilon").explain(inputs, labels, layers=("0", "2"))
    rows = np.arange(30)
    with open_project(attributed(tmp_path / "pooled")) as project:
        for layer, positions in (("0", (2, 3)), ("2", (1, 2))):
            found = project.attributions.layer(layer, rows)
            expected = by_hand.layers[layer].numpy().sum(positions)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert project.attributions.layer("3", rows).shape == (30, 36)
    with open_project(attributed(tmp_path / "full", pooling="full")) as project:
        found = project.attributions.layer("2", rows)
    np.testing.assert_allclose(found, np.moveaxis(by_hand.layers["2"].numpy(), -1, 1), rtol=1e-4, atol=1e-6)


FLAT = Pipeline("flat", (Step("flatten", Flatten()), Step("pca", Pca(2))))
LATENT = Pipeline("latent", (Step("pca", Pca(2), {"features": "relevance"}),))


def test_a_layer_is_analysed_in_place_of_the_input_and_beside_it(tmp_path):
    root = attributed(tmp_path / "run")
    analyze(root, FLAT, cache=False)
    done = analyze(root, LATENT, space="2")
    assert done.method == "latent (2)" and done.path.name == "analysis-latent-2.h5"
    with open_project(root) as project:
        assert list(project.analyses) == ["flat", "latent (2)"]
        category = project.analysis("latent (2)").category("cat")
        relevance = project.attributions.layer("2", category.index)
        found = category.embedding("pca").all()
        input_space = project.analysis("flat").category("cat").embedding("pca").all()
    centred = relevance - relevance.mean(0)
    _, scale, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ axes[:2].T), rtol=1e-3, atol=1e-4 * scale[0])
    assert not np.allclose(np.abs(found), np.abs(input_space), rtol=1e-2)


def test_a_layer_that_was_not_kept_is_named(tmp_path):
    with pytest.raises(RequestError, match="unknown layer '22'; did you mean '2'"):
        analyze(attributed(tmp_path / "run"), LATENT, space="22")
