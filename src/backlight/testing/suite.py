"""The conformance suite: all checks for all plugins of a distribution, as values to parametrise tests by."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backlight.core.discovery import canonical
from backlight.core.errors import PluginError, unknown
from backlight.core.hookspecs import Kind
from backlight.core.registry import registry
from backlight.testing.entries import check_registry_entry
from backlight.testing.require import ConformanceError, require
from backlight.testing.subject import Specimen, Subject

HOMES: Mapping[Kind, str] = {
    "rule": "backlight.testing.rules",
    "composite": "backlight.testing.composites",
    "canonizer": "backlight.testing.canonizers",
    "processor": "backlight.testing.processors",
    "panel": "backlight.testing.panels",
}
"""Kind -> the module with its `CHECKS`, imported when one of that kind is tested."""

Specimens = Mapping[tuple[Kind, str], Specimen]


@dataclass(frozen=True)
class Case:
    """One check of one plugin. Call it: it raises AssertionError that says what to mend."""

    subject: Subject
    check: str
    run: Callable[[Subject], Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.subject.kind}-{self.subject.name}-{self.check}"

    def __call__(self) -> None:
        """Run the check; an excused one must fail, and one without its modules is skipped."""
        for module in self.subject.specimen.modules:
            if importlib.util.find_spec(module) is None:
                import pytest

                pytest.skip(f"{self.subject} needs {module}, which is not installed")
        reason = self.subject.specimen.excused.get(self.check)
        if reason is None:
            self.run(self.subject)
            return
        require(
            bool(reason.strip()), f"{self.subject} is excused from {self.check!r} without a reason; give one"
        )
        try:
            self.run(self.subject)
        except ConformanceError:
            return
        raise ConformanceError(
            f"{self.subject} passes {self.check!r}, from which it is excused ({reason}); remove the excuse"
        )


def conformance(dist: str, specimens: Specimens | None = None) -> list[Case]:
    """Return every check for every plugin that a distribution offers; `str` of one is a good id for a test.

    specimens: (kind, name) -> what the suite cannot know of that plugin.

    Raises PluginError if the distribution offers no plugin, or has none for one of the specimens.
    """
    offered = [e for e in registry().entries() if canonical(e.dist) == canonical(dist)]
    if not offered:
        raise PluginError(unknown("distribution with plugins", dist, {e.dist for e in registry().entries()}))
    given = dict(specimens or {})
    found: list[Case] = []
    for entry in offered:
        kind = registry().kind(entry)
        specimen = given.pop((kind, entry.name), Specimen())
        found += cases(Subject(kind, entry.key, specimen))
    if given:
        raise PluginError(
            f"{dist} has no {' '.join(map(repr, next(iter(given))))}, for which there is a specimen"
        )
    return found


def cases(subject: Subject) -> list[Case]:
    """Return the checks for one plugin: those for all kinds, then its kind's own."""
    own: Mapping[str, Callable[[Subject], Any]] = importlib.import_module(HOMES[subject.kind]).CHECKS
    stray = set(subject.specimen.excused) - {"value", *own}
    if stray:
        raise PluginError(f"{subject}: {unknown('check', sorted(stray)[0], ['value', *own])}")
    return [Case(subject, name, check) for name, check in {"value": _value, **own}.items()]


def _value(subject: Subject) -> None:
    check_registry_entry(subject.kind, subject.name, **subject.specimen.parameters)
