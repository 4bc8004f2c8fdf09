"""In-place operations answered out of place: which tensor stands for which, views and bases included."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


class Aliases:
    """What stands for a tensor of the model since the model wrote on it.

    Rules need the values that went through an operation before, so nothing is ever written over.
    """

    def __init__(self) -> None:
        self._replaced: Any = WeakTensorKeyDictionary()

    def current(self, tensor: Tensor) -> Tensor:
        """Return what stands for `tensor` now: in-place operations are answered by new tensors."""
        if not self._replaced:
            return tensor
        tensor = self._newest(tensor)
        whole = tensor._base
        if whole is not None and whole in self._replaced:
            return _part(tensor, whole, _laid_out(self._newest(whole), whole))
        return tensor

    def _newest(self, tensor: Tensor) -> Tensor:
        while (newer := self._replaced.get(tensor)) is not None:
            tensor = newer
        return tensor

    def write(self, tensor: Tensor, result: Tensor) -> None:
        """Let `result` stand for `tensor` from now on, also in the memory of its views and base."""
        tensor = self._newest(tensor)
        whole = tensor._base
        if whole is None:
            self._replaced[tensor] = result
            return
        newest = self._newest(whole)
        copy = _laid_out(newest, whole).clone()
        _part(tensor, whole, copy).copy_(result)
        self._replaced[newest] = copy


def _part(view: Tensor, whole: Tensor, other: Tensor) -> Tensor:
    """Return the view of `other`, laid out as `whole`, that `view` is of `whole`."""
    offset = int(view.storage_offset()) - int(whole.storage_offset()) + int(other.storage_offset())
    return other.as_strided(view.size(), view.stride(), offset)


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """Return `tensor` laid out in memory as `like`, so that the same views can be taken of it."""
    if tensor.stride() == like.stride():
        return tensor
    made = torch.empty_strided(like.size(), like.stride(), dtype=tensor.dtype, device=tensor.device)
    return made.copy_(tensor)
