"""Maps that are linear in their input and in their weight: dense layers, convolutions, and any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor


class LinearMap(Protocol):
    """A bias-free map that is linear in its input and in its weight."""

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·W."""

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return sᵀW, shaped like the input `like`."""

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (inputs,) values broadcastable over the input, e.g. one bound per channel."""

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (outputs,) values broadcastable over the output, e.g. a bias."""

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with every output channel multiplied by its entry of `factor`, (outputs,)."""


@final
@dataclass(frozen=True)
class DenseMap:
    """x·Wᵀ over the last axis; weight (outputs, inputs)."""

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·Wᵀ."""
        return torch.nn.functional.linear(x, weight)

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return s·W."""
        return s @ weight

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return the values as they are: inputs are the last axis."""
        return values

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return the values as they are: outputs are the last axis."""
        return values

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with scaled rows."""
        return weight * factor[:, None]


@final
@dataclass(frozen=True)
class ConvolutionMap:
    """Convolution or transposed convolution in one to three dimensions, zero padding.

    uneven: zeros before and after each axis, last axis first, that an even kernel with padding "same" needs.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    uneven: tuple[int, ...] = ()

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution without bias."""
        padded = torch.nn.functional.pad(x, self.uneven) if self.uneven else x
        out: Tensor = torch.ops.aten.convolution(padded, weight, None, *self._geometry())
        return out

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return the gradient of the convolution with respect to its input."""
        padded = torch.nn.functional.pad(like, self.uneven) if self.uneven else like
        mask = [True, False, False]
        grad: Tensor = torch.ops.aten.convolution_backward(s, padded, weight, None, *self._geometry(), mask)[
            0
        ]
        return torch.nn.functional.pad(grad, tuple(-n for n in self.uneven)) if self.uneven else grad

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in self.stride))

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in self.stride))

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the weight with scaled output channels (axis 1, grouped, when transposed)."""
        ones = (1,) * len(self.stride)
        if not self.transposed:
            return weight * factor.reshape(-1, 1, *ones)
        groups = weight.reshape(self.groups, -1, *weight.shape[1:])
        return (groups * factor.reshape(self.groups, 1, -1, *ones)).reshape(weight.shape)

    def _geometry(self) -> tuple[Any, ...]:
        output_padding = self.output_padding or (0,) * len(self.stride)
        return self.stride, self.padding, self.dilation, self.transposed, output_padding, self.groups


@final
@dataclass(frozen=True)
class ChannelMap:
    """Every channel times its own factor, as batch norm with fixed statistics does; weight (channels,).

    dims: number of axes after the channels'.
    """

    dims: int

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return x·w."""
        return x * self.on_inputs(weight)

    def transpose(self, s: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Return s·w, which is the map itself."""
        return s * self.on_inputs(weight)

    def on_inputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return values.reshape(-1, *(1 for _ in range(self.dims)))

    def on_outputs(self, values: Tensor) -> Tensor:
        """Return (C, 1, …)."""
        return self.on_inputs(values)

    def scale_weight(self, weight: Tensor, factor: Tensor) -> Tensor:
        """Return the factors times `factor`."""
        return weight * factor


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
