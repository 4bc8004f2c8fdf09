"""Backlight's conformance suite on every plugin of this package."""

import pytest
import torch
import torch.nn.functional as F
from backlight.testing import Specimen, conformance
from torch import nn


class CosineClassifier(nn.Module):
    """A network that compares features with one prototype per class."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.prototypes = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        return F.cosine_similarity(self.features(x)[:, None], self.prototypes[None], dim=-1)


def cosine_classifier():
    torch.manual_seed(0)
    return CosineClassifier().double().eval(), torch.randn(3, 6, dtype=torch.float64)


def magnitude(op, relevance):
    """Compute the rule unit by unit: each contribution's share of all contributions' sizes."""
    zeros = torch.zeros_like(op.input[:1])
    basis = torch.eye(zeros.numel(), dtype=zeros.dtype).reshape(-1, *zeros.shape[1:])
    matrix = op.forward(basis).flatten(1)  # (inputs, outputs)
    sizes = (op.input.flatten(1)[:, :, None] * matrix).abs()
    shares = sizes / (sizes.sum(1, keepdim=True) + 1e-9)
    return (shares * relevance.flatten(1)[:, None]).sum(2).reshape(op.input.shape)


SPECIMENS = {
    ("rule", "magnitude"): Specimen(reference=magnitude),
    ("canonizer", "cosine-head"): Specimen(models=(cosine_classifier,)),
}
"""(kind, name) -> what the suite cannot know of that plugin."""


@pytest.mark.parametrize("case", conformance("backlight-example", SPECIMENS), ids=str)
def test_conformance(case):
    case()
