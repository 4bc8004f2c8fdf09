"""The canonizer contract: a reversible rewrite of operations for the time of an explanation.

Nothing is written on the user's model: a canonizer sees operations as they run and answers with others that
compute the same. Undoing is forgetting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from backlight.core.derived import Derived
    from backlight.core.ops import AffineOp, Call


class Canonizer(ABC):
    """One family of rewrites. Implementations are final frozen dataclasses."""

    @abstractmethod
    def applies(self, model: nn.Module) -> bool:
        """Say whether the model may contain what this canonizer rewrites."""

    def merge(self, call: Call, before: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return (weight, bias) of one affine map equal to `before` and then `call`, or None to leave both.

        The bias is (outputs,), or broadcastable over the output where it depends on the position.
        Build new tensors through `derived`, so that they are made once per model, not once per batch.
        """
        return None

    def absorb(self, call: Call, after: AffineOp, derived: Derived) -> tuple[Tensor, Tensor | None] | None:
        """Return (weight, bias) of one affine map equal to `call` followed by `after`, or None to leave both.

        Build new tensors through `derived`, as for `merge`.
        """
        return None

    def decompose(self, function: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return a function computing the same from smaller operations that rules can see, or None."""
        return None
