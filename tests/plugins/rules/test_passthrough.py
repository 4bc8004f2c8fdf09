"""The identity rule on every activation torch has, in every spelling."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute

ACTIVATIONS = {
    **{
        name: getattr(nn, name)()
        for name in (
            "ReLU", "ReLU6", "Hardtanh", "LeakyReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish",
            "Hardswish", "Softplus", "Softsign", "Softshrink", "Hardshrink", "Tanhshrink", "RReLU", "PReLU",
            "LogSigmoid", "Sigmoid", "Hardsigmoid", "Tanh",
        )
    },
    **{f"{n} inplace": getattr(nn, n)(inplace=True) for n in ("ReLU", "ReLU6", "ELU", "SiLU", "Hardswish")},
    "Threshold": nn.Threshold(0.1, 0.0),
    "F.relu": F.relu,
    "F.relu_": lambda x: F.relu_(x * 1),
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: (x * 1).relu_(),
    "torch.clamp": lambda x: torch.clamp(x, min=0),
    "clamp method": lambda x: x.clamp(0, 6),
    "torch.special.expit": torch.special.expit,
}  # fmt: skip


class _Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation if isinstance(activation, nn.Module) else None
        self.function = activation

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_pass_relevance(name):
    torch.manual_seed(0)
    model = _Net(ACTIVATIONS[name]).double().eval()
    x = torch.randn(3, 5, dtype=torch.float64)
    before = x.clone()
    found = attribute(model, x, [0, 1, 2, 3, 4], composite="pass", strict=True)
    expected = torch.diag_embed(model(x.clone()).detach())
    torch.testing.assert_close(found.relevance, expected, rtol=0, atol=0)
    assert torch.equal(x, before)
