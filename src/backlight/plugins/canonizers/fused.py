"""Take fused arithmetic apart: addmm, lerp, addcmul, glu, var … become products and sums that rules know."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl

Number = int | float


@final
@dataclass(frozen=True)
class Fused(Canonizer):
    """Decompose functions that fuse a product with a sum, or a gate with its signal."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: these are functions, not modules."""
        return True

    def decompose(self, function: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return the same from its parts, or None for any other function."""
        return _PARTS.get(function)


def _scaled(x: Tensor, factor: Number) -> Tensor:
    return x if factor == 1 else x * factor


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:  # noqa: A002
    return _scaled(mat1 @ mat2, alpha) + _scaled(input, beta)


def _addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:  # noqa: A002
    return _scaled((batch1 @ batch2).sum(0), alpha) + _scaled(input, beta)


def _addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:  # noqa: A002
    return _scaled((mat @ vec.unsqueeze(-1)).squeeze(-1), alpha) + _scaled(input, beta)


def _addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1) -> Tensor:  # noqa: A002
    return _scaled(vec1.unsqueeze(-1) * vec2, alpha) + _scaled(input, beta)


def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:  # noqa: A002
    return input + _scaled(tensor1 * tensor2, value)


def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:  # noqa: A002
    return input + _scaled(tensor1 / tensor2, value)


def _lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:  # noqa: A002
    return input * (1 - weight) + end * weight


def _glu(input: Tensor, dim: int = -1) -> Tensor:  # noqa: A002
    signal, gate = input.chunk(2, dim)
    return signal * torch.sigmoid(gate)


def _softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:  # noqa: A002
    return F.softmax(-input, dim, dtype=dtype)


def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    return (F.normalize(x1, dim=dim, eps=eps) * F.normalize(x2, dim=dim, eps=eps)).sum(dim)


def _var(
    input: Tensor,  # noqa: A002
    dim: int | Sequence[int] | bool | None = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Tensor:
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    axes = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    count = math.prod(input.shape[axis] for axis in axes)
    centred = input - input.mean(axes, keepdim=True)
    return (centred * centred).sum(axes, keepdim=keepdim) / (count - correction)


def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = torch.einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else product + bias


def _multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    return functools.reduce(torch.matmul, tensors)


def _chain_matmul(*matrices: Tensor) -> Tensor:
    return _multi_dot(matrices)


_SPELLINGS: dict[str, Callable[..., Any]] = {
    "addmm": _addmm,
    "baddbmm": _addmm,
    "addbmm": _addbmm,
    "addmv": _addmv,
    "addr": _addr,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "glu": _glu,
    "softmin": _softmin,
    "cosine_similarity": _cosine_similarity,
    "var": _var,
    "bilinear": _bilinear,
    "multi_dot": _multi_dot,
    "chain_matmul": _chain_matmul,
}
_PARTS: dict[Callable[..., Any], Callable[..., Any]] = {
    getattr(space, name): parts
    for name, parts in _SPELLINGS.items()
    for space in (torch, Tensor, F, torch.linalg, torch._C._nn)
    if hasattr(space, name)
}


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the decomposition of fused arithmetic."""
    return [CanonizerSpec("fused", Fused)]
