"""Sharing relevance of a max-pooling window like average pooling does (Bach et al. 2015).

R_x = x ⊙ A(R / st(Aᵀx)),  Aᵀ the sum over each window, padding excluded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.interception.functions import per_axis
from backlight.core.ops import Op, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class MaxPool(Rule):
    """Share relevance among all values of a max-pooling window in proportion, as if it were averaged.

    epsilon, stabiliser: how the denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: Op, relevance: Tensor) -> Tensor:
        """Return x ⊙ A(R / st(Aᵀx))."""
        recorded = torch.is_grad_enabled()
        with torch.enable_grad():
            x = op.input if recorded else op.input.detach().requires_grad_()
            total = window_sums(x, op.arguments, op.output.shape)
        s = quotient(relevance, total if recorded else total.detach(), self.epsilon, self.stabiliser)
        return op.input * torch.autograd.grad(total, x, s, create_graph=recorded)[0]


def window_sums(x: Tensor, arguments: dict[str, Any], shape: torch.Size) -> Tensor:
    """Return the sum over every window of the max pooling that was called with `arguments` on x."""
    if "output_size" in arguments:
        dims = len(shape) - 2
        average = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[dims - 1]
        return average(x, shape[2:])  # windows of one size within a unit: a mean is a sum up to a factor
    dims = len(shape) - 2
    kernel = per_axis(arguments["kernel_size"], dims)
    stride = per_axis(arguments.get("stride") or kernel, dims)
    padding = per_axis(arguments.get("padding", 0), dims)
    dilation = per_axis(arguments.get("dilation", 1), dims)
    # Reach as far as the last window does: less than the input in floor mode, more in ceil mode.
    ends = [
        (n - 1) * s + d * (k - 1) + 1 - p - size
        for n, s, d, k, p, size in zip(shape[2:], stride, dilation, kernel, padding, x.shape[2:], strict=True)
    ]
    widths = [w for p, end in reversed(list(zip(padding, ends, strict=True))) for w in (p, end)]
    ones = x.new_ones((x.shape[1], 1, *kernel))
    convolve = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    return convolve(F.pad(x, widths), ones, None, stride, 0, dilation, x.shape[1])


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer the proportional rule for max pooling."""
    return [
        RuleSpec("max-pool-share", MaxPool, takes=("max-pool",), conserves="up to epsilon", cite="bach2015")
    ]
