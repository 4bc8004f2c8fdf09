"""The four hooks through which plugins offer what they have, and the descriptors they return.

This file is the reference of the plugin contract. A plugin is a module named by an entry point in one of
`GROUPS`; the entry-point name is the public name users type. The module marks functions with `hookimpl`;
each takes no argument and returns frozen descriptors. Nothing here imports torch, scikit-learn or dash.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import pluggy

if TYPE_CHECKING:
    from backlight.core.canonizer import Canonizer
    from backlight.core.composite import Composite
    from backlight.core.panel import Panel
    from backlight.core.processor import Processor
    from backlight.core.rule import Rule

API_VERSION = 1
PROJECT = "backlight"

Group = Literal["backlight.rules", "backlight.canonizers", "backlight.processors", "backlight.viewers"]
Kind = Literal["rule", "composite", "canonizer", "processor", "panel"]
Slot = Literal["main", "side", "bottom"]

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class PluginSpec:
    """What a plugin offers under one name.

    name: the entry-point name, in kebab-case.
    factory: called with keyword parameters, returns the plugin object; usually a frozen dataclass.
    cite: key into docs/bibliography.md of the paper that defines it, or "".
    api_version: the `API_VERSION` the plugin was written for.
    """

    name: str
    factory: Callable[..., Any]
    cite: str = ""
    api_version: int = API_VERSION

    kind: ClassVar[Kind]
    group: ClassVar[Group]

    @property
    def summary(self) -> str:
        """First paragraph of the factory's docstring, on one line."""
        factory = self.factory.func if isinstance(self.factory, functools.partial) else self.factory
        return " ".join((inspect.getdoc(factory) or "").split("\n\n")[0].split())

    def problem(self) -> str | None:
        """Say what makes this descriptor unusable, or None; nothing is assumed about what is in it."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if values["api_version"] != API_VERSION:
            written_for = values["api_version"]
            return f"it was written for plugin API {written_for!r}, this Backlight speaks {API_VERSION}"
        if not isinstance(values["name"], str) or not _NAME.fullmatch(values["name"]):
            return f"name {values['name']!r} is not kebab-case"
        if not callable(values["factory"]):
            return f"factory {values['factory']!r} is not callable"
        if not isinstance(values["cite"], str):
            return f"cite {values['cite']!r} is not a key of the bibliography"
        return None


@dataclass(frozen=True)
class RuleSpec(PluginSpec):
    """A rule, in group backlight.rules.

    takes: kinds of operation the rule is written for (see core.composite.KINDS), or "affine".
    gradient: whether it modifies a gradient rather than sharing relevance; a composite of it alone then
        leaves every other operation its plain gradient.
    conserves: what keeps relevance in from equalling relevance out: "exactly"; "up to …", where all that is
        missing but for a stabiliser's share is what the rule's `absorbed` gives; "nothing: …", and why.
    """

    factory: Callable[..., Rule]
    takes: tuple[str, ...] = ("affine",)
    conserves: str = "exactly"
    gradient: bool = False

    kind: ClassVar[Kind] = "rule"
    group: ClassVar[Group] = "backlight.rules"

    def problem(self) -> str | None:
        """Say what makes this descriptor unusable, or None."""
        takes: Any = self.takes
        if not isinstance(takes, tuple) or not takes or not all(isinstance(kind, str) for kind in takes):
            return f"takes {takes!r} is not a tuple of kinds of operation"
        return super().problem()


@dataclass(frozen=True)
class CompositeSpec(PluginSpec):
    """A preset composite, in group backlight.rules beside the rules it hands out."""

    factory: Callable[..., Composite]

    kind: ClassVar[Kind] = "composite"
    group: ClassVar[Group] = "backlight.rules"


@dataclass(frozen=True)
class CanonizerSpec(PluginSpec):
    """A canonizer, in group backlight.canonizers."""

    factory: Callable[..., Canonizer]

    kind: ClassVar[Kind] = "canonizer"
    group: ClassVar[Group] = "backlight.canonizers"


@dataclass(frozen=True)
class ProcessorSpec(PluginSpec):
    """An attribution method or analysis stage, in group backlight.processors.

    What it needs and yields is declared on the processor class (core.processor.Processor).
    """

    factory: Callable[..., Processor]

    kind: ClassVar[Kind] = "processor"
    group: ClassVar[Group] = "backlight.processors"


@dataclass(frozen=True)
class PanelSpec(PluginSpec):
    """A panel of the explorer, in group backlight.viewers.

    slot: the region of the page it fills: "main", "side" or "bottom".
    order: panels of one slot are laid out by ascending order, then name.
    """

    factory: Callable[..., Panel]
    slot: Slot = "side"
    order: int = 100

    kind: ClassVar[Kind] = "panel"
    group: ClassVar[Group] = "backlight.viewers"

    def problem(self) -> str | None:
        """Say what makes this descriptor unusable, or None."""
        slot: Any = self.slot
        order: Any = self.order
        if slot not in get_args(Slot):
            return f"slot {slot!r} is none of {', '.join(get_args(Slot))}"
        if not isinstance(order, int):
            return f"order {order!r} is not a whole number"
        return super().problem()


SPECS: tuple[type[PluginSpec], ...] = (RuleSpec, CompositeSpec, CanonizerSpec, ProcessorSpec, PanelSpec)
GROUPS: dict[Group, str] = {
    "backlight.rules": "provide_rules",
    "backlight.canonizers": "provide_canonizers",
    "backlight.processors": "provide_processors",
    "backlight.viewers": "provide_panels",
}
"""Entry-point group -> the hook its modules implement."""


@hookspec(historic=True)
def provide_rules() -> Sequence[RuleSpec | CompositeSpec]:
    """Offer LRP rules and preset composites."""
    raise NotImplementedError


@hookspec(historic=True)
def provide_canonizers() -> Sequence[CanonizerSpec]:
    """Offer canonizers."""
    raise NotImplementedError


@hookspec(historic=True)
def provide_processors() -> Sequence[ProcessorSpec]:
    """Offer attribution methods and analysis stages."""
    raise NotImplementedError


@hookspec(historic=True)
def provide_panels() -> Sequence[PanelSpec]:
    """Offer panels of the explorer."""
    raise NotImplementedError
