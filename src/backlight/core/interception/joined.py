"""Operations side by side whose outputs, concatenated, are one tensor: batch norm over a concatenation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from backlight.core.ops import AffineOp, Op, widened
from backlight.core.rule import Rule


@dataclass
class JoinedOp(Op):
    """Affine operations, each with an input of its own, and their outputs' channels one after the other."""

    parts: tuple[AffineOp, ...] = ()

    @property
    def attachable(self) -> tuple[Tensor, ...]:
        """The parts' parameters, one part after the other."""
        return tuple(p for part in self.parts for p in part.attachable)

    def compute(self, values: Sequence[Tensor]) -> Tensor:
        """Return the output for other inputs, followed by other `attachable` parameters."""
        others = iter(values[len(self.parts) :])
        made = [
            part.compute((x, *(next(others) for _ in part.attachable)))
            for part, x in zip(self.parts, values, strict=False)
        ]
        return torch.cat(made, 1)

    def attached(self, inputs: tuple[Tensor, ...], output: Tensor) -> Self:
        """Return the operation with tensors that a derivative can go through, in the place of its own."""
        own = torch.split(output, [part.output.shape[1] for part in self.parts], 1)
        parts = [part.attached((x,), y) for part, x, y in zip(self.parts, inputs, own, strict=True)]
        return replace(self, inputs=inputs, output=output, parts=tuple(parts))


@dataclass(repr=False)
class Joined(Rule):
    """Let each operation explain its own channels of the output by its own rule."""

    rules: tuple[Rule, ...]

    def propagate(self, op: JoinedOp, relevance: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Return one relevance per operation, shaped like its input."""
        return tuple(
            found[0] if isinstance(found := rule.propagate(part, own), tuple) else found
            for part, rule, own in self._shared(op, relevance)
        )

    def absorbed(self, op: JoinedOp, relevance: Tensor) -> Mapping[str, Tensor]:  # type: ignore[override]
        """Return what the operations' rules say, added up by cause."""
        told: dict[str, list[Tensor]] = {}
        for part, rule, own in self._shared(op, relevance):
            for cause, amount in rule.absorbed(part, own).items():
                told.setdefault(cause, []).append(amount.sum())
        return {cause: torch.stack(amounts) for cause, amounts in told.items()}

    def _shared(self, op: JoinedOp, relevance: Tensor) -> list[tuple[AffineOp, Rule, Tensor]]:
        own = torch.split(relevance, [part.output.shape[1] for part in op.parts], 1)
        return [
            (part if part.output.dtype == r.dtype else widened(part), rule, r)
            for part, rule, r in zip(op.parts, self.rules, own, strict=True)
        ]
