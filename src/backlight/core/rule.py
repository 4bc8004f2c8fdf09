"""The rule contract: relevance of an operation's output -> relevance of its inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backlight.core.registry import registry

if TYPE_CHECKING:
    from torch import Tensor

    from backlight.core.ops import Op


class Rule(ABC):
    """How one operation hands relevance back. Implementations are final frozen dataclasses and pure."""

    @abstractmethod
    def propagate(self, op: Op, relevance: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """Return the relevance of `op.inputs`, each in its input's shape; a lone tensor means the only input.

        relevance: shaped like `op.output`. The op's tensors must not be changed. Where gradients are enabled,
        relevance is to be differentiated: use the op's tensors as they are, neither detached nor in place.
        """

    def absorbed(self, op: Op, relevance: Tensor) -> Mapping[str, Tensor]:
        """Return, for the audit, what the rule hands to nobody, by cause: "bias", "constant", "dropped".

        Whatever else is missing counts as the stabiliser's.
        """
        return {}


def rule(name: str, **parameters: Any) -> Rule:
    """Build an installed rule by name, e.g. `rule("gamma", gamma=0.25)`; PluginError for what is unknown."""
    built: Rule = registry().create("rule", name, **parameters)
    return built
