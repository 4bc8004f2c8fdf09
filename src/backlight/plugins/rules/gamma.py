"""Generalised LRP-gamma (Montavon et al. 2019; Andéol et al. 2021): favour contributions of the output's own sign.

With P = W + γW⁺ and N = W + γW⁻:
    s₁ = 1[z>0] · R / st(x⁺·P + x⁻·N + b + γb⁺),  s₂ = 1[z<0] · R / st(x⁺·N + x⁻·P + b + γb⁻)
    R_x = x⁺ ⊙ s₁ᵀP + x⁻ ⊙ s₁ᵀN + x⁺ ⊙ s₂ᵀN + x⁻ ⊙ s₂ᵀP
An output that is exactly zero hands nothing back.

Because x⁺W⁺ + x⁻W⁻ = (x·W + |x|·|W|) / 2, the two denominators need one extra map forward, z̃ = |x|·|W|, and the
numerators two maps back:  (1 + γ/2) · x ⊙ (s₁+s₂)ᵀW + (γ/2) · |x| ⊙ (s₁−s₂)ᵀ|W|.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from backlight.core.hookspecs import RuleSpec, hookimpl
from backlight.core.ops import AffineOp, stabilize
from backlight.core.rule import Rule


@final
@dataclass(frozen=True)
class Gamma(Rule):
    """Share relevance with extra weight, `gamma`, on contributions that agree with the output's sign.

    gamma: how much agreeing contributions are favoured (>= 0; 0 gives LRP-epsilon).
    epsilon: stabiliser of the denominators.
    zero_params: parameter names treated as zero, e.g. ("bias",).
    """

    gamma: float = 0.25
    epsilon: float = 1e-6
    zero_params: tuple[str, ...] = ()

    def propagate(self, op: AffineOp, relevance: Tensor) -> Tensor:  # type: ignore[override]
        """Return relevance; one map back when no input is negative and no negative output carries relevance."""
        op = op.without(self.zero_params)
        upper, lower = op.remember(f"gamma {self.gamma}", lambda: self._denominators(op))
        s1 = (relevance / stabilize(upper, self.epsilon)).masked_fill(op.output <= 0, 0)
        s2 = (relevance / stabilize(lower, self.epsilon)).masked_fill(op.output >= 0, 0)
        if not op.non_negative_input:
            linear = op.input * op.transpose(s1 + s2) * (1 + self.gamma / 2)
            return linear + op.input.abs() * op.transpose(s1 - s2, op.absolute_weight) * (self.gamma / 2)
        pulled = op.transpose(s1, self._favour(op, 1))
        if bool(s2.count_nonzero()):
            pulled = pulled + op.transpose(s2, self._favour(op, -1))
        return op.input * pulled

    def _favour(self, op: AffineOp, sign: int) -> Tensor:
        if sign > 0:
            return op.derive(f"gamma+ {self.gamma}", lambda w: w + self.gamma * w.clamp(min=0))
        return op.derive(f"gamma- {self.gamma}", lambda w: w + self.gamma * w.clamp(max=0))

    def _denominators(self, op: AffineOp) -> tuple[Tensor, Tensor]:
        bias = op.bias_term
        if op.non_negative_input:
            # Sums of one sign, so that nothing cancels; the other part follows by linearity.
            positive = op.forward(op.input, op.positive_weight)
            negative = (op.output if bias is None else op.output - bias) - positive
        else:
            signed = op.output if bias is None else op.output - bias
            magnitude = op.forward(op.input.abs(), op.absolute_weight)
            positive, negative = (signed + magnitude) / 2, (signed - magnitude) / 2
        if bias is not None:
            positive, negative = positive + bias.clamp(min=0), negative + bias.clamp(max=0)
        return op.output + self.gamma * positive, op.output + self.gamma * negative


@hookimpl
def provide_rules() -> list[RuleSpec]:
    """Offer LRP-gamma."""
    return [
        RuleSpec("gamma", Gamma, conserves="up to bias and outputs that are exactly zero", cite="andeol2021")
    ]
