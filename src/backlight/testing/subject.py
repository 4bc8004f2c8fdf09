"""What is tested: one installed plugin, and what its author tells the suite about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backlight.core.hookspecs import Kind, PluginSpec
from backlight.core.registry import registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    Built = tuple[nn.Module, Tensor]
    """A model and inputs for it."""


@dataclass(frozen=True)
class Specimen:
    """What the suite cannot know of a plugin; everything has a default that suits most.

    parameters: values of the parameters that have no default.
    reference: for a rule, a slow and plain version of it, (op, relevance) -> relevance of the inputs.
    models: for a canonizer, functions that build a model of the family it is for, and inputs.
    foreign: for a canonizer, functions that build models that it must leave alone; plain ones when empty.
    inputs: for a processor, n -> inputs for n samples, besides or instead of those the suite makes.
    others: for a processor, other valid values of fields, where the suite cannot guess any.
    modules: what it imports when it is used and may be missing; its checks are skipped then.
    excused: check -> the reason why the plugin cannot pass it; a check that passes after all is a failure.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[[Any, Tensor], Tensor | tuple[Tensor | None, ...]] | None = None
    models: tuple[Callable[[], Built], ...] = ()
    foreign: tuple[Callable[[], Built], ...] = ()
    inputs: Callable[[int], Mapping[str, Any]] | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    excused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One plugin under test."""

    kind: Kind
    name: str
    specimen: Specimen = field(default_factory=Specimen)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    @property
    def spec(self) -> PluginSpec:
        """Its descriptor; PluginError if it cannot be loaded."""
        return registry().spec(self.kind, self.name)

    def build(self, **parameters: Any) -> Any:
        """Build it with the specimen's parameters and these."""
        return registry().create(self.kind, self.name, **{**self.specimen.parameters, **parameters})
