"""Operations side by side whose outputs, concatenated, are one tensor: batch norm over a concatenation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backlight.core.ops import AffineOp, Op, widened
from backlight.core.rule import Rule


@dataclass(repr=False)
class Joined(Rule):
    """Let each operation explain its own channels of the output by its own rule."""

    parts: tuple[tuple[AffineOp, Rule], ...]

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor | None, ...]:
        """Return one relevance per operation, shaped like its input."""
        return tuple(
            found[0] if isinstance(found := rule.propagate(part, own), tuple) else found
            for part, rule, own in self._shared(relevance)
        )

    def absorbed(self, op: Op, relevance: Tensor) -> Mapping[str, Tensor]:
        """Return what the operations' rules say, added up by cause."""
        told: dict[str, list[Tensor]] = {}
        for part, rule, own in self._shared(relevance):
            for cause, amount in rule.absorbed(part, own).items():
                told.setdefault(cause, []).append(amount.sum())
        return {cause: torch.stack(amounts) for cause, amounts in told.items()}

    def _shared(self, relevance: Tensor) -> list[tuple[AffineOp, Rule, Tensor]]:
        own = torch.split(relevance, [part.output.shape[1] for part, _ in self.parts], 1)
        return [
            (part if part.output.dtype == r.dtype else widened(part), rule, r)
            for (part, rule), r in zip(self.parts, own, strict=True)
        ]
