"""A call that can be computed again, for its gradient or with other tensors in the place of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from backlight.core.interception.tensors import map_tensors

Recorded = tuple[Tensor, list[Tensor]]
"""An output, and the copies of the signals that its gradient leads to."""


@final
@dataclass(frozen=True)
class Computation:
    """A call of `function` with all that was given to it.

    signals: its differentiable arguments, in order. aliases: those that stand for attached constants.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    signals: tuple[Tensor, ...]
    aliases: tuple[Tensor, ...] = ()

    def __call__(self, values: Sequence[Tensor]) -> Tensor:
        """Return the output for other signals, followed by other constants if they change, too."""
        own, others = iter(values[: len(self.signals)]), iter(values[len(self.signals) :])

        def put(tensor: Tensor) -> Tensor:
            if tensor.requires_grad:
                return next(own)
            return next(others, tensor) if any(tensor is alias for alias in self.aliases) else tensor

        args = map_tensors(self.args, put)  # before the keywords, in the order of the signals
        made: Tensor = self.function(
            *args, **{key: map_tensors(value, put) for key, value in self.kwargs.items()}
        )
        return made

    def recorded(self) -> Recorded:
        """Compute the output from copies of the signals, so that a gradient can be taken."""
        copies = [t.detach().requires_grad_() for t in self.signals]
        return self(copies), copies

    def pull(self, s: Tensor, kept: Recorded | None) -> tuple[Tensor | None, ...]:
        """Return the vector-Jacobian product, through what `recorded` returned or else recorded anew."""
        with torch.enable_grad():
            made, copies = kept or self.recorded()
            s = s.to(made.dtype)
            return torch.autograd.grad(made, copies, s, retain_graph=kept is not None, allow_unused=True)
