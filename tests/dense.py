"""The slow oracle of every rule: layers as dense matrices, formulas taken literally from the papers, float64.

A layer's linear map is materialised by feeding it the identity basis, so nothing of the engine is used:
neither its convolutions nor its transposes. Formulas get x (N, I), W (I, O), b (O,), R (N, O) and return
relevance (N, I).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backlight.core.composite import Composite, Entry, Match
from backlight.core.engine import Interceptor
from backlight.core.interception.plan import Plan
from backlight.core.rule import Rule

Formula = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A kind of layer and the shape of one sample it takes."""

    name: str
    make: Callable[[bool], nn.Module]
    shape: tuple[int, ...]


def _conv(kind: Any, shape: tuple[int, ...], name: str, *args: Any, **kwargs: Any) -> Case:
    return Case(name, lambda bias: kind(*args, bias=bias, **kwargs), shape)


LAYERS = (
    _conv(nn.Linear, (5,), "linear", 5, 4),
    _conv(nn.Linear, (3, 5), "linear-tokens", 5, 4),
    _conv(nn.Conv1d, (2, 7), "conv1d", 2, 3, 3, padding=1),
    _conv(nn.Conv2d, (2, 4, 5), "conv2d", 2, 3, 3),
    _conv(nn.Conv2d, (2, 5, 5), "conv2d-padded", 2, 3, 3, padding=1),
    _conv(nn.Conv2d, (3, 6, 6), "conv2d-strided", 3, 2, 3, stride=2, padding=1),
    _conv(nn.Conv2d, (2, 7, 6), "conv2d-dilated", 2, 2, (3, 2), dilation=(2, 3), padding=(1, 0)),
    _conv(nn.Conv2d, (4, 4, 4), "conv2d-grouped", 4, 6, 3, groups=2, padding=1),
    _conv(nn.Conv2d, (3, 4, 4), "conv2d-depthwise", 3, 6, 3, groups=3, stride=2),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-same", 2, 2, 3, padding="same"),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-same-even", 2, 2, (2, 4), padding="same"),
    _conv(nn.Conv1d, (2, 6), "conv1d-same-even", 2, 2, 4, padding="same"),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-pointwise", 2, 5, 1),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-reflect", 2, 2, 3, padding=1, padding_mode="reflect"),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-circular", 2, 2, 3, padding=1, padding_mode="circular"),
    _conv(nn.Conv2d, (2, 4, 4), "conv2d-replicate", 2, 2, 3, padding=(1, 0), padding_mode="replicate"),
    _conv(nn.Conv3d, (2, 3, 3, 3), "conv3d", 2, 2, 2, padding=1, stride=(1, 2, 1)),
    _conv(nn.ConvTranspose1d, (2, 4), "transposed1d", 2, 3, 3, stride=2, output_padding=1, padding=1),
    _conv(nn.ConvTranspose2d, (2, 3, 3), "transposed2d", 2, 3, 2, stride=2),
    _conv(nn.ConvTranspose2d, (4, 3, 3), "transposed2d-grouped", 4, 6, 3, groups=2, dilation=2),
    _conv(nn.ConvTranspose3d, (2, 2, 2, 2), "transposed3d", 2, 2, 2, stride=2, padding=1),
)
quiet = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # torch's own remark
SIGNS = ("non-negative", "signed", "negative", "zeros")


def every_layer(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test for every layer, with and without bias, for every sign of input."""
    cases = [
        pytest.param(case, bias, sign, id=f"{case.name}-{'bias' if bias else 'free'}-{sign}")
        for case, bias, sign in product(LAYERS, (True, False), SIGNS)
    ]
    return quiet(pytest.mark.parametrize(("case", "bias", "sign"), cases)(test))


def sample(case: Case, sign: str) -> Tensor:
    """Return three samples of the given sign; "zeros" holds exact zeros of both signs among signed values."""
    x = torch.randn(3, *case.shape, dtype=torch.float64)
    if sign == "non-negative":
        return x.clamp(min=0)
    if sign == "negative":
        return -x.abs()
    if sign == "zeros":
        x[torch.rand_like(x) < 0.4] = 0.0
        x[:, 0] = -0.0
    return x


def check(rule: Rule, formula: Formula, case: Case, bias: bool, sign: str, rtol: float = 1e-10) -> None:
    """Compare `rule` on one layer, run through the engine, with `formula` on the layer's dense matrix."""
    torch.manual_seed(sum(map(ord, case.name + sign)) + bias)
    layer = case.make(bias).double()
    x = sample(case, sign)
    given = torch.randn_like(layer(x)) * (torch.rand_like(layer(x)) < 0.8)  # some outputs carry no relevance
    with torch.no_grad():
        for inner, spread, padded, scatter in _unpadded(layer, x):
            weight, offset = matrix(inner, padded.shape[1:])
            found = formula(padded.flatten(1), weight, offset, given.flatten(1))
            expected = scatter(found.reshape(padded.shape)) if spread else found.reshape(x.shape)
    actual = relevance(layer, x, rule, given)
    scale = expected.abs().max().clamp(min=1e-300)
    assert torch.isfinite(expected).all()
    assert float((actual - expected).abs().max() / scale) < rtol


def relevance(layer: nn.Module, x: Tensor, rule: Rule, given: Tensor) -> Tensor:
    """Return the relevance of x when `layer` is explained by `rule` and its output has relevance `given`."""
    plan = Plan.of(layer, Composite((Entry(Match(kind="affine"), rule),)), ())
    interceptor = Interceptor(plan)
    leaf = x.clone().requires_grad_()
    interceptor.start([leaf])
    with interceptor:
        output = layer(leaf)
    assert [c.treatment for c in interceptor.covered].count("rule") == 1, interceptor.covered
    return torch.autograd.grad(output, leaf, given)[0]


def matrix(layer: nn.Module, shape: tuple[int, ...], weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the layer's map as a matrix (I, O) and its bias per output (O,)."""
    own = {name: torch.zeros_like(p) for name, p in layer.named_parameters() if name == "bias"}
    if weight is not None:
        own["weight"] = weight
    basis = torch.eye(prod(shape), dtype=torch.float64).reshape(-1, *shape)
    out = torch.func.functional_call(layer, own, (basis,))
    offset = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
    return out.flatten(1), offset


def _unpadded(
    layer: nn.Module, x: Tensor
) -> Iterator[tuple[nn.Module, bool, Tensor, Callable[[Tensor], Tensor]]]:
    """Split a layer with a non-zero padding mode into padding (relevance adds up over copies) and rest."""
    mode = getattr(layer, "padding_mode", "zeros")
    if mode == "zeros":
        yield layer, False, x, lambda r: r
        return
    inner = type(layer)(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, 0, layer.dilation,
        layer.groups, layer.bias is not None, dtype=torch.float64,
    )  # fmt: skip
    inner.load_state_dict(layer.state_dict())
    widths = layer._reversed_padding_repeated_twice
    numbers = torch.arange(prod(x.shape[1:]), dtype=torch.float64).reshape(1, *x.shape[1:])
    origin = F.pad(numbers, widths, mode=mode).long().flatten()

    def scatter(found: Tensor) -> Tensor:
        flat = torch.zeros(len(x), numbers.numel(), dtype=torch.float64)
        return flat.index_add(1, origin, found.flatten(1)).reshape(x.shape)

    yield inner, True, F.pad(x, widths, mode=mode), scatter


def plus(a: Tensor) -> Tensor:
    """a⁺."""
    return torch.where(a > 0, a, 0.0)


def minus(a: Tensor) -> Tensor:
    """a⁻."""
    return torch.where(a < 0, a, 0.0)


def st(z: Tensor, epsilon: float = 1e-6) -> Tensor:
    """z + sgn(z)·ε with sgn(0) = +1."""
    return torch.where(z >= 0, z + epsilon, z - epsilon)
