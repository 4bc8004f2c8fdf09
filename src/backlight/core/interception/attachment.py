"""Parameters in a differentiable explanation: constants to its rules, attached for whoever differentiates it.

Operations are matched and explained by detached aliases of whatever depends on parameters alone, as always;
before anything is computed, aliases give way to what they stand for.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from backlight.core.interception.tensors import map_tensors, tensors_in


class Attachment:
    """Which detached alias stands for which attached constant."""

    def __init__(self) -> None:
        self._constants: Any = WeakTensorKeyDictionary()
        self._originals: Any = WeakTensorKeyDictionary()

    def mark(self, value: Any) -> Any:
        """Remember tensors computed from parameters alone as constants, and return them."""
        for tensor in tensors_in(value):
            if tensor.requires_grad:
                self._constants[tensor] = True
        return value

    def constant(self, tensor: Tensor) -> bool:
        """Say whether `tensor` was computed from parameters alone."""
        return tensor in self._constants

    def alias(self, tensor: Tensor) -> Tensor:
        """Return a detached tensor that stands for `tensor` until it is attached again."""
        detached = tensor.detach()
        self._originals[detached] = tensor
        return detached

    def attach(self, value: Any) -> Any:
        """Return `value` with what its aliases stand for."""
        if isinstance(value, dict):
            return {key: self.attach(item) for key, item in value.items()}
        return map_tensors(value, lambda t: self._originals.get(t, t))

    def among(self, value: Any) -> list[tuple[Tensor, Tensor]]:
        """Return the aliases in `value`, in order, each with what it stands for."""
        pairs = ((alias, self._originals.get(alias)) for alias in tensors_in(value))
        return [(alias, original) for alias, original in pairs if original is not None]
