"""Random programs of aliased, viewed and overwritten tensors: epsilon must equal gradient × input on each.

Every step is linear or a ReLU, so on one linear piece the gradient is found by differences, without autograd,
which refuses many of these programs. The engine must follow a write through every view of the memory it hits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from backlight import attribute
from backlight.core.composite import Composite, Entry, Match

# A denominator is touched only where it is zero, so that nothing is damped.
EXACT = {"epsilon": 1e-300, "stabiliser": "clip"}
COMPOSITE = Composite(
    (
        Entry.of("epsilon", Match(kind="affine"), **EXACT),
        Entry.of("norm", Match(kind="sum"), **EXACT),
        Entry.of("norm", Match(kind="average-pool"), **EXACT),
        Entry.of("pass", Match(kind="activation")),
        Entry.of("pass", Match(kind="scale")),
    )
)


def _chunked(a: Tensor, b: Tensor, i: int) -> None:
    parts = a.chunk(2, 1)
    F.relu(parts[i % 2], inplace=True)
    parts[1 - i % 2].add_(parts[i % 2])


def _overwritten(a: Tensor, b: Tensor, i: int) -> None:
    a[:, i] = b[:, 3 - i]


def _sliced_sum(a: Tensor, b: Tensor, i: int) -> None:
    a[:, :, : i + 1] += 0.4 * b[:, :, : i + 1]


def _through_a_view(a: Tensor, b: Tensor, i: int) -> None:
    a.view(len(a), 16)[:, 4 * i : 4 * i + 4].mul_(-0.7) if a.is_contiguous() else a.mul_(0.9)


# step -> function of two registers and a number; what it returns becomes a register, None changes the first
STEPS = {
    "linear": lambda net, a, b, i: net.mix[i](a),
    "linear of rows": lambda net, a, b, i: net.mix[i].weight @ a,
    "matmul W.T": lambda net, a, b, i: a @ net.mix[i].weight.T,
    "relu": lambda net, a, b, i: F.relu(a),
    "add": lambda net, a, b, i: a + 0.3 * b,
    "sub": lambda net, a, b, i: torch.sub(a, b, alpha=0.6),
    "clone": lambda net, a, b, i: a.clone(),
    "transposed view": lambda net, a, b, i: a.transpose(1, 2),
    "same view": lambda net, a, b, i: a[:],
    "flip": lambda net, a, b, i: a.flip(1),
    "cat": lambda net, a, b, i: torch.cat([a[:, : i + 1], b[:, i + 1 :]], 1),
    "stack": lambda net, a, b, i: torch.stack(a.unbind(1)[::-1], 1),
    "mean": lambda net, a, b, i: a + b.mean(1, keepdim=True),
    "where": lambda net, a, b, i: torch.where(net.mask, a, b),
    "relu_": lambda net, a, b, i: (a.relu_(), None)[1],
    "module relu in place": lambda net, a, b, i: (net.relu(a), None)[1],
    "add_": lambda net, a, b, i: (a.add_(b, alpha=0.5), None)[1],
    "mul_": lambda net, a, b, i: (a.mul_(-0.7), None)[1],
    "copy_": lambda net, a, b, i: (a.copy_(b.clone()), None)[1],
    "zero_": lambda net, a, b, i: (a[:, i].zero_(), None)[1],
    "masked_fill_": lambda net, a, b, i: (a.masked_fill_(net.mask, 0.0), None)[1],
    "chunks in place": lambda net, a, b, i: _chunked(a, b, i),
    "setitem": lambda net, a, b, i: _overwritten(a, b.clone(), i),
    "slice +=": lambda net, a, b, i: _sliced_sum(a, b.clone(), i),
    "through a view": lambda net, a, b, i: _through_a_view(a, b, i),
    "row relu_": lambda net, a, b, i: (a.select(1, i).relu_(), None)[1],
}

PROGRAMS = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)),
    min_size=1,
    max_size=9,
)


class Machine(nn.Module):
    """Runs a program on registers of shape (N, 4, 4), the input being the first, and reads one out."""

    def __init__(self, program):
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(4))
        self.relu = nn.ReLU(inplace=True)
        self.read = nn.Linear(16, 2, bias=False)
        self.register_buffer("mask", torch.rand(4, 4) < 0.3)
        self.program = program

    def forward(self, x):
        registers = [x, x * 1.1]
        for name, a, b, i in self.program:
            a, b = registers[a % len(registers)], registers[b % len(registers)]
            made = STEPS[name](self, a, b.clone() if name == "add_" else b, i)
            if made is not None:
                registers.append(made)
        total = registers[-1] + 0.5 * registers[0] + 0.25 * registers[1]
        return self.read(total.flatten(1))


@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(PROGRAMS)
def test_epsilon_is_gradient_times_input(program):
    model = Machine(program).double()
    x = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    found = attribute(model, x, "all", composite=COMPOSITE)
    assert torch.equal(x, kept)
    step = 1e-6 * torch.eye(16, dtype=x.dtype).reshape(16, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(found.output, model(x.clone()), rtol=1e-12, atol=1e-14)
        for i, sample in enumerate(x):
            slope = (model(sample + step) - model(sample - step)) / 2e-6
            expected = slope.T.reshape(2, 4, 4) * sample
            torch.testing.assert_close(found.relevance[i], expected, rtol=1e-5, atol=1e-7)
