"""What is derived from a weight is derived for each operation that shares it, whatever its geometry."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from backlight import attribute
from backlight.core.composite import Composite, Entry, Match, base

RULES = ("alpha-beta", "box", "epsilon", "flat", "gamma", "w-square", "z-plus")


class Convolutions(nn.Module):
    """The same kernel, dense and dilated, each after a batch norm that would be merged into it."""

    def __init__(self, shared):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.two = self.one if shared else nn.Parameter(self.one.detach().clone())
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()

    def forward(self, x):
        near = F.conv2d(self.norm(x), self.one, padding=1)
        far = F.conv2d(self.norm(x), self.two, padding=2, dilation=2)
        return (near + far + F.conv_transpose2d(x, self.two, padding=1)).sum((2, 3))


class Products(nn.Module):
    """The same square matrix, once as it is and once transposed."""

    def __init__(self, shared):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Parameter(torch.randn(5, 5))
        self.two = self.one if shared else nn.Parameter(self.one.detach().clone())

    def forward(self, x):
        plain, turned = torch.einsum("nij,jk->nik", x, self.one), torch.einsum("nij,kj->nik", x, self.two)
        return (plain + turned).sum(1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("model", "shape"), [(Convolutions, (2, 4, 5, 5)), (Products, (2, 5, 5))])
def test_sharing_a_weight_changes_nothing(rule, model, shape):
    entries = (Entry.of(rule, Match(kind="affine")), *base())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found, expected = (
        attribute(model(shared), x, 0, composite=Composite(entries)) for shared in (True, False)
    )
    torch.testing.assert_close(found.relevance, expected.relevance)
