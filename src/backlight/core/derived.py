"""Tensors derived from a model's parameters, made once and not for every batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import torch
from torch import Tensor


class Derived:
    """Tensors derived from parameters (merged, clipped, squared …), made once per explained model.

    A source is known by its storage, so that `weight.T` taken anew for every batch is the same source; an
    entry keeps its sources alive, so that a storage is never mistaken for a later one at its address.
    Versions tell a parameter that was changed in place; through `.data`, behind torch's back, `notice` does.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[tuple[Tensor, ...], tuple[int, ...], Any]] = {}
        self._used: set[Hashable] = set()
        self._digest: list[int] = []

    def notice(self, tensors: Iterable[Tensor]) -> None:
        """Forget everything if a sample of the tensors' values is not what it was when last asked.

        Up to 256 values of each are looked at, which takes milliseconds; a change of few others is missed.
        """
        digest = _digest(tensors)
        if digest != self._digest:
            self.clear()
        self._digest = digest

    def clear(self) -> None:
        """Forget everything."""
        self._entries = {}

    def get(self, tag: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """Return the value made for `tag` from `sources`, calling `make` when it is new or out of date."""
        key = (tag, *((t.data_ptr(), t.shape, t.stride(), t.dtype) for t in sources))
        versions = tuple(_version(t) for t in sources)
        found = self._entries.get(key)
        if found is None or found[1] != versions:
            with torch.no_grad():
                found = (sources, versions, make())
            self._entries[key] = found
        self._used.add(key)
        return found[2]

    def sweep(self) -> None:
        """Forget what was not used since the last sweep, as what came of weights made anew for a batch."""
        self._entries = {key: entry for key, entry in self._entries.items() if key in self._used}
        self._used = set()

    def __len__(self) -> int:
        return len(self._entries)


class Fresh(Derived):
    """Derives anew every time, attached to its sources: for relevance that is to be differentiated."""

    def get(self, tag: Hashable, sources: tuple[Tensor, ...], make: Callable[[], Any]) -> Any:
        """Return what `make` makes."""
        return make()


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _digest(tensors: Iterable[Tensor]) -> list[int]:
    """Return a number for each tensor that depends on the bits of up to 256 of its values."""
    sums = []
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.numel() == 0 or tensor.element_size() not in _BITS:
            continue
        step = -(-tensor.numel() // 256)
        count = -(-tensor.numel() // step)
        if not (tensor.is_contiguous() or tensor.is_contiguous(memory_format=torch.channels_last)):
            sample = tensor.detach().flatten()[::step]
        else:  # in the order of memory, whatever its layout
            sample = tensor.detach().as_strided((count,), (step,), tensor.storage_offset())
        bits = sample.view(_BITS[tensor.element_size()]).long()
        sums.append((bits * torch.arange(1, 2 * count, 2, device=bits.device)).sum())
    return [number for group in _by_device(sums) for number in torch.stack(group).tolist()]


def _by_device(tensors: list[Tensor]) -> list[list[Tensor]]:
    devices = dict.fromkeys(t.device for t in tensors)
    return [[t for t in tensors if t.device == device] for device in devices]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
