"""The proportional rule against dense sums: additions, subtraction, means and average pools as matrices."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from backlight import rule
from backlight.core.composite import Composite, Entry, Match
from backlight.core.engine import Interceptor
from backlight.core.interception.plan import Plan
from dense import st

POOLS = {
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "padded": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "padded, zeros not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
    "global": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((2, 3)),
    "mean keepdim": lambda x: torch.mean(x, dim=1, keepdim=True),
    "sum": lambda x: x.sum(-1),
}
SUMS = {
    "plus": (lambda a, b: a + b, (1, 1)),
    "torch.add alpha": (lambda a, b: torch.add(a, b, alpha=3.0), (1, 3)),
    "minus": (lambda a, b: a - b, (1, -1)),
    "in place": (lambda a, b: (a * 1).add_(b), (1, 1)),
    "__iadd__": (lambda a, b: (a * 1).__iadd__(b), (1, 1)),
}


class _Net(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def explain(function, inputs, given_of):
    model = _Net(function)
    entries = [Entry.of("norm", Match(kind=k)) for k in ("sum", "average-pool")]
    entries.append(Entry.of("pass", Match(kind="scale")))
    interceptor = Interceptor(Plan.of(model, Composite(tuple(entries)), ()))
    leaves = [x.clone().requires_grad_() for x in inputs]
    interceptor.start(leaves)
    with interceptor:
        out = model(*leaves)
    out = interceptor.aliases.current(out)
    given = given_of(out)
    return torch.autograd.grad(out, leaves, given), given, out.detach()


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_means_share_in_proportion(name):
    torch.manual_seed(0)
    pool = POOLS[name]
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    (found,), given, _ = explain(pool, [x], torch.randn_like)
    basis = torch.eye(90, dtype=torch.float64).reshape(90, 3, 5, 6)
    w = pool(basis).flatten(1)
    flat = x.flatten(1)
    expected = flat * ((given.flatten(1) / st(flat @ w)) @ w.T)
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (2, 1, 4))])
def test_sums_share_in_proportion_also_where_broadcast(name, shapes):
    torch.manual_seed(1)
    function, (ca, cb) = SUMS[name]
    a, b = (torch.randn(s, dtype=torch.float64) for s in shapes)
    found, given, _ = explain(function, [a, b], torch.randn_like)
    z = ca * a + cb * b
    full = given / st(z)
    expected = (ca * a * full, (cb * b.expand(2, 3, 4) * full).sum_to_size(b.shape))
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-10, atol=1e-13)


def test_a_constant_summand_absorbs_its_share():
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    (found,), _, _ = explain(lambda x: x + 1.0, [x], torch.ones_like)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.75]], dtype=torch.float64), rtol=1e-5, atol=0)


def test_rule_is_data():
    assert rule("norm") == rule("norm", epsilon=1e-6)
    assert hash(rule("norm", epsilon=1e-3)) != hash(rule("norm"))
