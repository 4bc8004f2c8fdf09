"""Whole-number inputs, followed to where they are looked up: a token has the relevance of its embedding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from backlight.core.errors import EngineError
from backlight.core.interception.tensors import tensors_in

EMBEDDINGS: tuple[Callable[..., Any], ...] = (F.embedding, torch.embedding)


class Tokens:
    """Which input each whole-number tensor of a pass comes from, and what was looked up for it."""

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        self._leaves = tuple(leaves)
        self._sources: Any = WeakTensorKeyDictionary()
        for number, leaf in enumerate(leaves):
            self._sources[leaf] = number
        self.embedded: list[tuple[int, Tensor]] = []
        """Number of the input, and what was looked up for it: (N, …, features)."""

    def follow(self, func: Callable[..., Any], arguments: Any, result: Any) -> Tensor | None:
        """Note where tokens go; return what `func` looked up for them, which is to be explained, or None.

        Raises EngineError where tokens are looked up in another shape than they were given in.
        """
        found = [self._sources[t] for t in tensors_in(arguments) if t in self._sources]
        if not found:
            return None
        number, leaf = found[0], self._leaves[found[0]]
        if func not in EMBEDDINGS:
            for tensor in tensors_in(result):
                if not tensor.is_floating_point():
                    self._sources[tensor] = number
            return None
        if result.shape[:-1] != leaf.shape:
            raise EngineError(
                f"whole-number input {number} of shape {tuple(leaf.shape)} is looked up as "
                f"{tuple(result.shape[:-1])}; give the model what the embedding returns instead"
            )
        looked_up: Tensor = result if result.requires_grad else result.detach().requires_grad_()
        self.embedded.append((number, looked_up))
        return looked_up

    def shares(self, relevance: Sequence[Tensor]) -> list[Tensor]:
        """Return the relevance of every input, (N, K, …), from that of what was looked up for it."""
        parts: dict[int, list[Tensor]] = {}
        for (number, _), share in zip(self.embedded, relevance, strict=True):
            parts.setdefault(number, []).append(share.sum(-1))
        like = next(iter(parts.values()))[0]
        return [
            torch.stack(parts[number]).sum(0)
            if number in parts
            else like.new_zeros((*like.shape[:2], *leaf.shape[1:]))
            for number, leaf in enumerate(self._leaves)
        ]
