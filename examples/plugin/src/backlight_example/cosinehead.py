"""Cosine classifiers: cos(x, w) = Σ x̂ ⊙ ŵ with x̂ = x/|x|, a product and a sum that rules know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl
from torch import Tensor, nn


@final
@dataclass(frozen=True)
class CosineHead(Canonizer):
    """Take F.cosine_similarity apart; the lengths count as constants, as a normalisation's scale does."""

    def applies(self, model: nn.Module) -> bool:
        """Say yes to every model: this is about a function, not a module."""
        return True

    def decompose(self, function: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return cosine similarity from its parts, or None for any other function."""
        return _parts if function is torch.cosine_similarity else None


def _parts(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    return x / x.detach().norm(dim=dim, keepdim=True).clamp(min=eps)


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the canonizer."""
    return [CanonizerSpec("cosine-head", CosineHead)]
