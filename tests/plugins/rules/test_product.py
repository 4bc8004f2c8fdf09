"""The uniform rule for products of two signals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backlight import attribute


class _Gate(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x, gate):
        return (x * gate).flatten(1)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1), (2, 1, 1)])
def test_each_factor_gets_half_also_where_broadcast(shape):
    torch.manual_seed(0)
    x, gate = torch.randn(2, 3, 4, dtype=torch.float64), torch.rand(shape, dtype=torch.float64)
    target = torch.tensor([5, 7])
    found = attribute(_Gate(shape), [x, gate], target, composite="half")
    given = torch.zeros(2, 12, dtype=torch.float64)
    given[range(2), target] = found.output[range(2), target]
    half = given.reshape(2, 3, 4) / 2
    torch.testing.assert_close(found.relevance[0], half, rtol=0, atol=0)
    torch.testing.assert_close(found.relevance[1], half.sum_to_size(shape), rtol=1e-14, atol=1e-16)


def test_a_square_hands_everything_to_its_one_factor():
    x = torch.tensor([[2.0, -3.0]], dtype=torch.float64)

    class Square(nn.Module):
        def forward(self, x):
            return x * x

    found = attribute(Square(), x, 1, composite="half").relevance
    torch.testing.assert_close(found, torch.tensor([[0.0, 9.0]], dtype=torch.float64), rtol=0, atol=0)
