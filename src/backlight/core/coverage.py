"""What the engine did with every executed operation, and where relevance went missing."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backlight.core.ops import Site

Treatment = Literal["rule", "merged", "routed", "gradient", "not differentiable", "hidden"]
UNCOVERED: tuple[Treatment, ...] = ("gradient", "hidden")


@dataclass(frozen=True)
class Covered:
    """How one executed operation was treated.

    treatment: "rule" (by `rule`), "merged" (into the operation before it by canonizer `rule`), "routed"
        (relevance follows the gradient of a view, copy or selection), "gradient" (no rule: its plain
        gradient), "not differentiable" (nothing flows back), "hidden" (a compiled region whose operations
        cannot be seen).
    """

    site: Site
    treatment: Treatment
    rule: str = ""


@dataclass(frozen=True)
class Coverage:
    """The coverage report of one explanation, in execution order."""

    operations: tuple[Covered, ...]
    canonizers: tuple[str, ...] = ()
    broken: Site | None = None
    """Where NaN or infinity came out of finite numbers, if it did and an audit looked for it."""

    @property
    def uncovered(self) -> tuple[Covered, ...]:
        """Operations that no rule explains."""
        return tuple(c for c in self.operations if c.treatment in UNCOVERED)

    @property
    def counts(self) -> dict[str, int]:
        """Number of operations by treatment."""
        return dict(Counter(c.treatment for c in self.operations))

    def __str__(self) -> str:
        lines = [
            f"{c.site.index:4d}  {c.site.name:24s} {c.treatment:18s} {c.rule:40s} {c.site.path}"
            for c in self.operations
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Audited:
    """Relevance of one operation's output and inputs, summed over everything; the rest leaked there.

    causes: how much of what leaked went to "bias", to a "constant" summand, and was "dropped" (the relevance
    of outputs that a rule hands to nobody); the rest is the stabiliser's.
    """

    site: Site
    received: float
    returned: float
    causes: tuple[tuple[str, float], ...] = ()

    @property
    def leaks(self) -> dict[str, float]:
        """All that leaked, by cause; what no cause explains is the stabiliser's."""
        rest = self.leaked - sum(amount for _, amount in self.causes)
        return {**dict(self.causes), "stabiliser": rest}

    @property
    def finite(self) -> bool:
        """Whether finite relevance came back from finite relevance."""
        return math.isfinite(self.returned) or not math.isfinite(self.received)

    @property
    def leaked(self) -> float:
        """Relevance that bias, stabiliser or a dropped zero kept."""
        return self.received - self.returned


@dataclass(frozen=True)
class Audit:
    """Conservation audit of one explanation, in the order relevance flowed: from the output back.

    received: relevance the output was seeded with. returned: relevance that reached the inputs.
    """

    operations: tuple[Audited, ...]
    received: float
    returned: float

    @property
    def error(self) -> float:
        """|returned − received| / |received|; 0 is perfect conservation."""
        return abs(self.returned - self.received) / max(abs(self.received), 1e-30)
