"""Max pooling: to the winner by default, in proportion on request, against windows walked one by one."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from backlight import attribute, composite

POOLS = {
    "plain": (nn.MaxPool2d(2), (2, 5, 6)),
    "overlapping": (nn.MaxPool2d(3, 2), (2, 7, 7)),
    "padded": (nn.MaxPool2d(3, 2, padding=1), (2, 6, 5)),
    "ceil": (nn.MaxPool2d(2, ceil_mode=True), (2, 5, 5)),
    "ceil, padded": (nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), (2, 6, 6)),
    "dilated": (nn.MaxPool2d(2, 1, dilation=2), (2, 5, 5)),
    "one axis": (nn.MaxPool1d(3, 1), (2, 6)),
    "three axes": (nn.MaxPool3d(2), (1, 4, 4, 4)),
    "adaptive": (nn.AdaptiveMaxPool2d(2), (2, 5, 6)),
    "adaptive, whole": (nn.AdaptiveMaxPool2d(1), (2, 5, 6)),
}


def windows(pool, sizes):
    """Return, for every output position, the input positions of its window."""
    probe = torch.zeros(1, 1, *sizes, dtype=torch.float64)
    out = pool(probe)
    found = {}
    for position in product(*map(range, out.shape[2:])):
        axes = []
        for axis, at in enumerate(position):
            size = sizes[axis]
            if isinstance(pool, nn.AdaptiveMaxPool2d):
                n = out.shape[2 + axis]
                axes.append(range(at * size // n, -(-(at + 1) * size // n)))
                continue
            k, s, p, d = (
                v if isinstance(v, int) else v[axis]
                for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
            )
            axes.append([i for i in (at * s - p + d * j for j in range(k)) if 0 <= i < size])
        found[position] = list(product(*axes))
    return found


@pytest.mark.parametrize("name", POOLS)
def test_shares_in_proportion(name):
    torch.manual_seed(0)
    pool, shape = POOLS[name]
    model = nn.Sequential(pool, nn.Flatten())
    x = torch.rand(2, *shape, dtype=torch.float64) + 0.1
    found = attribute(model, x, "all", composite=composite("max-pool-share", epsilon=1e-12))
    sizes, places = shape[1:], list(windows(pool, shape[1:]).items())
    for n, c in product(range(2), range(shape[0])):
        for number, (_, window) in enumerate(places):
            target = c * len(places) + number
            values = torch.stack([x[(n, c, *i)] for i in window])
            assert float(found.output[n, target]) == float(values.max())
            expected = torch.zeros(sizes, dtype=torch.float64)
            for i, value in zip(window, values, strict=True):
                expected[i] = value / values.sum() * values.max()
            torch.testing.assert_close(found.relevance[n, target, c], expected, rtol=1e-9, atol=1e-12)


def test_goes_to_the_winner_by_default():
    x = torch.tensor([[[[1.0, 4.0], [2.0, 3.0]]]])
    model = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    found = attribute(model, x, 0, composite="epsilon-plus", strict=True)
    assert found.relevance.tolist() == [[[[0.0, 4.0], [0.0, 0.0]]]]


def test_in_front_of_a_preset():
    x = torch.rand(2, 3, 4, 4)
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)
    )
    mine = composite({"extends": "epsilon-plus", "entries": [{"rule": "max-pool-share", "kind": "max-pool"}]})
    found = attribute(model, x, 0, composite=mine)
    assert "MaxPool(" in "".join(c.rule for c in found.coverage.operations)
