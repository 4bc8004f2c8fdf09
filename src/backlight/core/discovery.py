"""What is installed: plugin entry points, read from package metadata without importing any plugin."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from backlight.core.hookspecs import GROUPS, PROJECT, SPECS, Group, Kind


@dataclass(frozen=True, order=True)
class Entry:
    """One entry point: a name a distribution offers, and the module that provides it."""

    group: Group
    name: str
    module: str
    dist: str
    version: str

    @property
    def key(self) -> str:
        """`dist/name`, which is unambiguous within the group."""
        return f"{canonical(self.dist)}/{self.name}"

    @property
    def kind(self) -> Kind:
        """The kind as far as metadata tell: composites share the rules' group, in a package `composites`."""
        if self.group == "backlight.rules":
            return "composite" if "composites" in self.module.split(".") else "rule"
        return next(spec.kind for spec in SPECS if spec.group == self.group)

    @property
    def built_in(self) -> bool:
        """Whether Backlight itself offers it."""
        return canonical(self.dist) == PROJECT

    def called(self, name: str) -> bool:
        """Return whether `name`, as a user may write it, is this entry's `name` or `dist/name`."""
        dist, slash, rest = name.rpartition("/")
        return rest == self.name and (not slash or canonical(dist) == canonical(self.dist))

    def matches(self, patterns: Iterable[str]) -> bool:
        """Return whether any pattern (with * and ?) fits the name, the distribution or `dist/name`."""
        texts = (self.name, self.dist, canonical(self.dist), f"{self.dist}/{self.name}", self.key)
        return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns for text in texts)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.dist} {self.version} (module {self.module})"


def canonical(dist: str) -> str:
    """Return a distribution's name in the one spelling that indexes compare, so that `My_Pkg` is `my-pkg`."""
    return re.sub(r"[-_.]+", "-", dist).lower()


def discover() -> Iterator[Entry]:
    """Yield every plugin entry point of the installed distributions, importing nothing.

    Far cheaper than `metadata.entry_points()`, which parses the metadata of each distribution once per entry
    point, and safe from it too: there one malformed file hides the plugins of all distributions.
    """
    for dist in metadata.distributions():
        text = _entry_points(dist)
        if f"[{PROJECT}." not in text:
            continue
        name, version = _identity(dist)
        if not _shadowed(name, text):
            for group, point, module in _points(text):
                yield Entry(group, point, module, name, version)


def _entry_points(dist: metadata.Distribution) -> str:
    try:
        return dist.read_text("entry_points.txt") or ""
    except (OSError, ValueError):
        return ""


def _identity(dist: metadata.Distribution) -> tuple[str, str]:
    """Return name and version; metadata that is missing or broken must not hide the plugin."""
    try:
        return str(dist.metadata["Name"] or "unknown"), str(dist.metadata["Version"] or "unknown")
    except Exception:  # newer Pythons raise what older ones return as None
        return "unknown", "unknown"


def _shadowed(name: str, text: str) -> bool:
    """Return whether another copy of the distribution comes first on the path, as it does for imports."""
    try:
        first = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return _entry_points(first) != text


def _points(text: str) -> Iterator[tuple[Group, str, str]]:
    """Yield group, name and module of each line in our groups; a line without `=` has module ""."""
    group: Group | None = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = next((known for known in GROUPS if line == f"[{known}]"), None)
        elif group and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.partition("[")[0].strip()
