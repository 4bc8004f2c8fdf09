"""Generalised LRP-gamma (Montavon et al. 2019; Andéol et al. 2021): favour what agrees with z's sign.

With P = W + γW⁺ and N = W + γW⁻:
    s₁ = 1[z>0] · R / st(x⁺·P + x⁻·N + b + γb⁺),  s₂ = 1[z<0] · R / st(x⁺·N + x⁻·P + b + γb⁻)
    R_x = x⁺ ⊙ s₁ᵀP + x⁻ ⊙ s₁ᵀN + x⁺ ⊙ s₂ᵀN + x⁻ ⊙ s₂ᵀP
An output that is exactly zero hands nothing back.

Because x⁺W⁺ + x⁻W⁻ = (x·W + |x|·|W|) / 2, the two denominators need one extra map forward, z̃ = |x|·|W|, and
the numerators two maps back:  (1 + γ/2) · x ⊙ (s₁+s₂)ᵀW + (γ/2) · |x| ⊙ (s₁−s₂)ᵀ|W|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, Stabiliser, quotient
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Gamma(Rule):
    """Share relevance with extra weight, `gamma`, on contributions that agree with the output's sign.

    gamma: how much agreeing contributions are favoured (>= 0; 0 gives LRP-epsilon).
    epsilon, stabiliser: how the denominators are kept from zero.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    gamma: float = 0.25
    epsilon: float = 1e-6
    stabiliser: Stabiliser = "sign"
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance; one map back if no input is negative and no negative output has relevance."""
        op = op.without(self.zero_params)
        s1, s2 = self._shares(op, relevance)
        if op.non_negative_input:
            shares = op.contributions(s1, self._favour(op, 1))
            return shares if s2 is None else shares + op.contributions(s2, self._favour(op, -1))
        both, difference = (s1, s1) if s2 is None else (s1 + s2, s1 - s2)
        linear = op.contributions(both) * (1 + self.gamma / 2)
        magnitude = op.contributions(difference, op.absolute_weight, op.input.abs())
        return torch.add(linear, magnitude, alpha=self.gamma / 2)

    def absorbed(self, op: AffineOp, relevance: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return what the bias takes, and what outputs that are exactly zero keep."""
        op = op.without(self.zero_params)
        s1, s2 = self._shares(op, relevance)
        dropped = {"dropped": relevance.masked_fill(op.output != 0, 0)}
        if op.bias_term is None:
            return dropped
        high, low = (
            op.bias_term + self.gamma * part
            for part in (op.bias_term.clamp(min=0), op.bias_term.clamp(max=0))
        )
        return dropped | {"bias": s1 * high if s2 is None else s1 * high + s2 * low}

    def _shares(self, op: AffineOp, relevance: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return s₁ and s₂, or None for s₂ where no negative output carries relevance."""
        on = above_zero(relevance, op.output)
        alone = not torch.is_grad_enabled() and torch.equal(on, relevance)
        off = None if alone else above_zero(relevance, -op.output)
        s1 = quotient(on, self._denominator(op, 1), self.epsilon, self.stabiliser)
        s2 = None if off is None else quotient(off, self._denominator(op, -1), self.epsilon, self.stabiliser)
        return s1, s2

    def _favour(self, op: AffineOp, sign: int) -> Tensor:
        if sign > 0:
            return op.derive(f"gamma+ {self.gamma}", lambda w: w + self.gamma * w.clamp(min=0))
        return op.derive(f"gamma- {self.gamma}", lambda w: w + self.gamma * w.clamp(max=0))

    def _denominator(self, op: AffineOp, sign: int) -> Tensor:
        """Return x·W + b plus gamma times the sum of all its contributions of one sign."""
        positive: Tensor = op.remember("positive", lambda: _positive(op))
        return torch.add(op.output, positive if sign > 0 else op.output - positive, alpha=self.gamma)


def _positive(op: AffineOp) -> Tensor:
    """Return the sum of all positive contributions, bias included; the negative ones follow by linearity."""
    bias = op.bias_term
    if op.non_negative_input:  # sums of one sign, so that nothing cancels
        total = op.forward(op.input, op.positive_weight)
        return total if bias is None else total + bias.clamp(min=0)
    total = op.output + op.forward(op.input.abs(), op.absolute_weight)
    return (total if bias is None else total + bias.abs()) / 2


def above_zero(relevance: Tensor, output: Tensor) -> Tensor:
    """Return relevance where the output is > 0, else 0, in one pass."""
    if torch.is_grad_enabled():
        return torch.where(output > 0, relevance, 0)
    kept: Tensor = torch.ops.aten.threshold_backward(relevance, output, 0)
    return kept


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP-gamma."""
    return [
        RuleSpec(
            "gamma",
            Gamma,
            takes=("affine", "batch-norm"),
            conserves="up to bias and outputs that are exactly zero",
            cite="andeol2021",
        )
    ]
