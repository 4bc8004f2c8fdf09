"""Small networks: one for each kind of operation a rule may be written for, and families for canonizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

BATCH = 3
VECTOR = (6,)
IMAGE = (3, 6, 6)

Forward = Callable[[Any, Tensor], Tensor]

OPERATIONS: dict[str, tuple[tuple[int, ...], Forward]] = {
    "linear": (VECTOR, lambda net, x: net.linear(x)),
    "convolution": (IMAGE, lambda net, x: net.convolution(x).flatten(1)),
    "activation": (VECTOR, lambda net, x: F.relu(x)),
    "average-pool": (IMAGE, lambda net, x: F.avg_pool2d(x, 2).flatten(1)),
    "batch-norm": (VECTOR, lambda net, x: net.norm(x)),
    "matmul": (VECTOR, lambda net, x: (x.reshape(-1, 2, 3) @ x.reshape(-1, 3, 2)).flatten(1)),
    "max-pool": (IMAGE, lambda net, x: F.max_pool2d(x, 2).flatten(1)),
    "normalisation": (VECTOR, lambda net, x: net.layer(x)),
    "product": (VECTOR, lambda net, x: x[:, :3] * torch.sigmoid(x[:, 3:])),
    "scale": (VECTOR, lambda net, x: 2 * x),
    "softmax": (VECTOR, lambda net, x: F.softmax(x, -1)),
    "sum": (VECTOR, lambda net, x: x[:, :3] + x[:, 3:]),
}
"""Kind of operation -> the shape of one sample, and a forward pass that executes it."""


class OneOperation(nn.Module):
    """A network that executes one operation, and layers of every kind that has parameters."""

    def __init__(self, kind: str, *, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4, bias=bias)
        self.convolution = nn.Conv2d(3, 4, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm1d(6)
        self.layer = nn.LayerNorm(6, bias=bias)
        self.kind = kind
        with torch.no_grad():
            self.layer.weight.normal_(1, 0.2)
            if bias:
                self.layer.bias.normal_(0, 0.2)
            assert self.norm.running_mean is not None
            assert self.norm.running_var is not None
            self.norm.running_mean.normal_(0, 0.5)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, units)."""
        return OPERATIONS[self.kind][1](self, x)


class Attending(nn.Module):
    """Self-attention over the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, classes)."""
        tokens = self.embed(x.flatten(2).transpose(1, 2))
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        head: Tensor = self.head(attended.mean(1))
        return head


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(18, 8, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, classes)."""
        hidden: Tensor = self.cells(x.transpose(1, 2).flatten(2))[0]
        head: Tensor = self.head(hidden[:, -1])
        return head


class Fused(nn.Module):
    """A dense layer written as one fused product and sum, and a gated one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(108, 12) / 10)
        self.bias = nn.Parameter(torch.randn(12))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, classes)."""
        head: Tensor = self.head(F.glu(torch.addmm(self.bias, x.flatten(1), self.weight)))
        return head


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a float64 model in evaluation mode from a fixed seed, leaving the random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().double().eval()


def random(*shape: int, seed: int = 1) -> Tensor:
    """Return float64 numbers from a normal distribution."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain() -> tuple[nn.Module, Tensor]:
    """Return a convolutional network of layers that no canonizer needs to touch."""

    def build() -> nn.Module:
        head = nn.Linear(4, 5)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    return seeded(build), random(BATCH, *IMAGE)


def normalised() -> tuple[nn.Module, Tensor]:
    """Return a network with lived-in batch norms after a convolution and after a dense layer."""

    def build() -> nn.Module:
        body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        model = nn.Sequential(*body, nn.Linear(4, 5), nn.BatchNorm1d(5))
        model.train()(torch.randn(16, *IMAGE))
        return model

    return seeded(build), random(BATCH, *IMAGE)


def attending() -> tuple[nn.Module, Tensor]:
    """Return a network with fused multi-head attention."""
    return seeded(Attending), random(BATCH, *IMAGE)


def recurrent() -> tuple[nn.Module, Tensor]:
    """Return a recurrent network."""
    return seeded(Recurrent), random(BATCH, *IMAGE)


def fused() -> tuple[nn.Module, Tensor]:
    """Return a network of functions that do several operations at once."""
    return seeded(Fused), random(BATCH, *IMAGE)
