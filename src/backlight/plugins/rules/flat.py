"""LRP-flat (Lapuschkin et al. 2019): every input of a unit gets the same share.

s = R / st(1·1_W);  R_x = sᵀ1_W. All input channels of a group get the same map, so one channel is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.linear_maps import ConvolutionMap
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Flat(Rule):
    """Spread relevance evenly over each unit's receptive field, whatever the input.

    epsilon, stabiliser: how the denominator is kept from zero.
    """

    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return the box-filtered, channel-summed relevance; the denominator is made once per input shape."""
        if isinstance(op.map, ConvolutionMap) and not op.map.transposed:
            return self._filtered(op, op.map, relevance)
        ones = op.derive("ones", torch.ones_like)
        s = self._share(op, relevance, lambda: op.forward(torch.ones_like(op.input[:1]), ones))
        return op.transpose(s, ones)

    def _filtered(self, op: AffineOp, map_: ConvolutionMap, relevance: Tensor) -> Tensor:
        """Return the relevance of one channel in each group, repeated for the others."""
        groups, channels = map_.groups, op.input.shape[1] // map_.groups
        kernel = op.weight.new_ones((groups, 1, *op.weight.shape[2:]))

        def fan_in() -> Tensor:
            one = torch.ones_like(op.input[:1, :1])
            return channels * replace(map_, groups=1).apply(one, kernel[:1])

        s = self._share(op, relevance, fan_in)
        summed = s.reshape(len(s), groups, -1, *s.shape[2:]).sum(2)
        like = op.input[:, :1].expand(-1, groups, *op.input.shape[2:])
        spread = map_.transpose(summed, kernel, like)
        return spread.repeat_interleave(channels, 1)

    def _share(self, op: AffineOp, relevance: Tensor, fan_in: Callable[[], Tensor]) -> Tensor:
        """Return R / st(1·1_W). fan_in: how many inputs each output sees, fewer where padding reaches in."""
        return quotient(relevance, op.derive_for_shape("flat", fan_in), self.epsilon, self.stabiliser)


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP-flat."""
    return [RuleSpec("flat", Flat, conserves="exactly", cite="lapuschkin2019")]
