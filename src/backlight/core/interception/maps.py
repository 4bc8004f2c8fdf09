"""Linear maps that are neither a dense layer over the last axis nor a convolution, such as einsum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class FunctionMap:
    """Any function (input, weight) -> output that is linear in both; its transpose is its gradient."""

    function: Callable[[Tensor, Tensor], Tensor]

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·W."""
        return self.function(x, weight)

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return sᵀW, shaped like the input `like`."""
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            leaf = like.detach().requires_grad_()
            output = self.function(leaf, weight)
            return torch.autograd.grad(output, leaf, s, create_graph=recorded)[0]

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return the values: which axis of the input is its channels' is not known."""
        return values

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return the values: such a map has no bias, so that they can only be broadcastable already."""
        return values

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Raise NotImplementedError: it is not known which axis of the weight is the outputs'."""
        raise NotImplementedError("the outputs of this linear map cannot be scaled")
