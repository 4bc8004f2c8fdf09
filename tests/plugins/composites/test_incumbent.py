"""The presets against Zennit's, run side by side where its wheel is installed (extra `bench`)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backlight import attribute, composite

composites = pytest.importorskip("zennit.composites", reason="Zennit is not installed (extra bench)")
gradient = pytest.importorskip("zennit.attribution").Gradient

PRESETS = {
    "epsilon-plus": "EpsilonPlus",
    "epsilon-plus-flat": "EpsilonPlusFlat",
    "epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
    "epsilon-alpha2-beta1-flat": "EpsilonAlpha2Beta1Flat",
    "epsilon-gamma-box": "EpsilonGammaBox",
    "excitation-backprop": "ExcitationBackprop",
    "guided-backprop": "GuidedBackprop",
    "deconvnet": "DeconvNet",
    "beta-smooth": "BetaSmooth",
}


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(72, 10), nn.ReLU(), nn.Linear(10, 4),
    ).double()  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_equals_zennit_on_what_it_sees(name):
    make = getattr(composites, PRESETS[name], None) or getattr(composites, PRESETS[name].capitalize(), None)
    if make is None:
        pytest.skip(f"this Zennit has no {PRESETS[name]}")
    torch.manual_seed(0)
    x = torch.rand(2, 3, 14, 14, dtype=torch.float64) * 6 - 3
    bounds = {"low": torch.full_like(x[:1], -3), "high": torch.full_like(x[:1], 3)}
    model = net()
    with gradient(model, make(**bounds if name == "epsilon-gamma-box" else {})) as attributor:
        out = model(x).detach()
        seed = torch.zeros_like(out)
        seed[:, 1] = 1.0 if composite(name).start == "slope" else out[:, 1]
        _, theirs = attributor(x.clone(), seed)
    ours = attribute(net(), x, 1, composite=name).relevance
    assert theirs.any()
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-14
