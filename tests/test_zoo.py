"""A representative dozen of the zoo at small input size; benchmarks/bench_zoo.py examines all of it.

Each model: conserves within 1 % with no canonizer named, equals gradient x input where it must, and is
afterwards what it was. Weights are random at a realistic scale, without biases.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

import backlight as bl

_PATH = Path(__file__).parents[1] / "benchmarks" / "bench_zoo.py"
_spec = importlib.util.spec_from_file_location("bench_zoo", _PATH)
assert _spec is not None
assert _spec.loader is not None
zoo = importlib.util.module_from_spec(_spec)
sys.modules["bench_zoo"] = zoo
_spec.loader.exec_module(zoo)

# name -> whether all of it is piecewise linear
MODELS = {
    "alexnet": True,
    "vgg11_bn": True,
    "resnet18": True,
    "resnext50_32x4d": True,
    "densenet121": True,
    "googlenet": True,
    "shufflenet_v2_x1_0": True,
    "mnasnet0_5": True,
    "mobilenet_v2": False,
    "mobilenet_v3_small": False,
    "efficientnet_b0": False,
    "regnet_y_400mf": False,
    "convnext_tiny": False,
    "vit_b_32": False,
    "swin_t": False,
    "swin_v2_t": False,
}


def _model(name):
    torch.manual_seed(0)
    model, size = zoo.build(name)
    model = model.double()
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    return model, images


# torchvision's GoogLeNet warns that it will change its default initialisation.
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", MODELS)
def test_conserves_agrees_with_the_gradient_and_leaves_the_model(name):
    model, images = _model(name)
    row = zoo.examine(name, model, images, ("epsilon:1e-9", "epsilon-gamma-box"))
    assert row.ran, row.reason
    assert row.reason == ""  # no operation without a rule
    assert row.identical
    assert max(row.kept.values()) < 0.01, row.kept
    assert (row.correlation is not None) == MODELS[name]
    assert row.correlation is None or row.correlation > 0.999999


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t"])
def test_attention_reaches_queries_and_keys_under_attn_lrp(name):
    model, images = _model(name)
    zoo.calibrate(model, images)
    values = bl.attribute(model, images, 0, composite="cp-lrp", strict=True).relevance
    everything = bl.attribute(model, images, 0, composite="attn-lrp", strict=True)
    assert everything.relevance.isfinite().all()
    assert not torch.allclose(everything.relevance, values)


TIMM = ("mixer_s32_224", "deit_tiny_patch16_224", "mobilevit_xxs", "ghostnet_100", "repvgg_a0")


@pytest.mark.parametrize("name", TIMM)
def test_models_of_timm(name):
    pytest.importorskip("timm", reason="timm is not installed (extra: bench)")
    torch.manual_seed(0)
    model, size = zoo.build_timm(name)
    size = size if name.startswith(("mixer", "deit")) else 64
    row = zoo.examine(
        name, model.double(), torch.randn(1, 3, size, size, dtype=torch.float64), ("epsilon:1e-9",)
    )
    assert row.ran, row.reason
    assert row.identical
    assert row.kept["epsilon:1e-9"] < 0.01, row
