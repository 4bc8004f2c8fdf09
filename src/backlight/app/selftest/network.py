"""A small convolutional network, and how it is trained: the same pictures and seed give the same network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from backlight.core.sources.preprocessing import Preprocessing

LATE_LAYER = "10"
"""Layer of the small network after the third of its four convolutions."""

_BATCH = 64
_ROWS = 256


def small_network(classes: int = 2) -> nn.Sequential:
    """Build a network of about 78,000 weights for (N, 3, H, W) inputs of at least 8 x 8 pixels."""
    widths = (24, 48, 64, 64)
    layers: list[nn.Module] = []
    before = 3
    for number, width in enumerate(widths):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number < 3 else []
        before = width
    head = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(before * 16, classes))
    return nn.Sequential(*layers, *head)


def trained(
    build: Callable[[], nn.Module],
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    scale: Preprocessing,
    *,
    epochs: int,
    seed: int,
) -> nn.Module:
    """Return a network trained with AdamW, one learning-rate cycle for `epochs` passes."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = build().train()
        steps = max(1, -(-len(labels) // _BATCH))
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=epochs * steps)
        for _ in range(epochs):
            for batch in torch.randperm(len(labels)).split(_BATCH):
                optimiser.zero_grad()
                inputs = scale.inputs(pictures[batch.numpy()])
                loss = nn.functional.cross_entropy(model(inputs), torch.from_numpy(labels[batch.numpy()]))
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.eval()


def accuracy(
    model: nn.Module, pictures: NDArray[np.uint8], labels: NDArray[np.int64], scale: Preprocessing
) -> float:
    """Return the share of pictures that the network classifies right."""
    hits = 0
    with torch.no_grad():
        for start in range(0, len(labels), _ROWS):
            rows = slice(start, start + _ROWS)
            predicted: Tensor = model(scale.inputs(pictures[rows])).argmax(1)
            hits += int((predicted.numpy() == labels[rows]).sum())
    return hits / max(len(labels), 1)
