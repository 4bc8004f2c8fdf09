"""LRP-flat (Lapuschkin et al. 2019): every input of a unit gets the same share.

s = R / st(1·1_W);  R_x = sᵀ1_W. All input channels of a group get the same map, so one channel is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, ConvolutionMap, Stabiliser, quotient
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
        if not isinstance(op.map, ConvolutionMap) or op.map.transposed:
            ones = op.derive("ones", torch.ones_like)
            return op.transpose(self._share(relevance, self._fan_in(op, ones, 1)), ones)
        groups = op.map.groups
        kernel = op.derive("ones", lambda w: w.new_ones((groups, 1, *w.shape[2:])))
        s = self._share(relevance, self._fan_in(op, kernel[:1], op.weight.shape[1]))
        batch, spatial = s.shape[0], op.input.shape[2:]
        summed = s.reshape(batch, groups, -1, *s.shape[2:]).sum(2)
        like = op.input[:, :1].expand(batch, groups, *spatial)
        spread = replace(op.map, groups=groups).transpose(summed, kernel, like)
        per_channel = spread.unsqueeze(2).expand(batch, groups, op.input.shape[1] // groups, *spatial)
        return per_channel.reshape(op.input.shape)

    def _share(self, relevance: Tensor, count: Tensor) -> Tensor:
        return quotient(relevance, count, self.epsilon, self.stabiliser)

    def _fan_in(self, op: AffineOp, ones: Tensor, channels: int) -> Tensor:
        """Return 1·1_W: how many inputs each output sees, fewer where padding reaches in."""
        shape = op.input.shape[1:]

        def make() -> Tensor:
            if channels == 1 and ones.shape == op.weight.shape:
                return op.forward(op.input.new_ones((1, *shape)), ones)
            map_ = op.map
            assert isinstance(map_, ConvolutionMap)
            return channels * replace(map_, groups=1).apply(op.input.new_ones((1, 1, *shape[1:])), ones)

        made: Tensor = op.derived.get(("flat", channels, shape, op.input.dtype), (op.weight,), make)
        return made


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP-flat."""
    return [RuleSpec("flat", Flat, conserves="exactly", cite="lapuschkin2019")]
