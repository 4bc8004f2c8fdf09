"""The state of an installation: versions, device, plugins, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from backlight.core.hookspecs import PROJECT
from backlight.core.registry import registry

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """One requirement of Backlight. extra: the optional feature that needs it, "" for Backlight itself."""

    name: str
    text: str
    extra: str

    @property
    def installed(self) -> str | None:
        """Version that is installed, or None."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None

    @property
    def problem(self) -> str | None:
        """What is wrong with what is installed, or None."""
        if self.installed is None:
            return f"{self.name} is not installed"
        try:
            from packaging.requirements import Requirement as Parsed
        except ModuleNotFoundError:  # then only presence is checked
            return None
        wanted = Parsed(self.text).specifier
        if wanted.contains(self.installed, prereleases=True):
            return None
        return f"{self.name} is {self.installed}, expected {wanted}"

    @property
    def hint(self) -> str:
        """The command that mends it."""
        target = f"{PROJECT}[{self.extra}]" if self.extra else self.text.partition(";")[0].strip()
        return f'pip install "{target}"'


def requirements() -> Iterator[Requirement]:
    """Yield what Backlight's own metadata say it needs, extras included; none from a bare source tree."""
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        named, extra = _REQUIREMENT.match(line), _EXTRA.search(line)
        if named and named[1].lower() != PROJECT:
            yield Requirement(named[1], line, extra[1] if extra else "")


def diagnosis() -> dict[str, Any]:
    """Return versions, device, plugins, problems (which stop something) and hints (which are optional)."""
    needed = list(requirements())
    problems = [f"{r.problem}; try `{r.hint}`" for r in needed if r.problem and not r.extra]
    plugins = registry().plugins(load=True)
    problems += [p.problem for p in plugins if p.problem and p.state != "blocked"]
    missing: dict[str, list[str]] = {}
    for requirement in needed:
        if requirement.extra:
            missing.setdefault(requirement.extra, [])
            if requirement.problem:
                missing[requirement.extra].append(requirement.name)
    return {
        "versions": {
            "backlight": _version(PROJECT),
            "python": platform.python_version(),
            "platform": platform.platform(terse=True),
            **{r.name: r.installed or "missing" for r in needed if not r.extra},
        },
        "device": _device(),
        "plugins": {
            kind: dict(Counter(p.state for p in plugins if p.kind == kind))
            for kind in dict.fromkeys(p.kind for p in plugins)
        },
        "third-party": sorted({f"{p.dist} {p.version}" for p in plugins if p.dist.lower() != PROJECT}),
        "extras": {
            extra: "installed"
            if not names
            else f'pip install "{PROJECT}[{extra}]" (lacks {", ".join(names)})'
            for extra, names in sorted(missing.items())
        },
        "problems": problems,
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed (running from source)"


def _device() -> dict[str, Any]:
    """Return what torch can compute on; what went wrong if it cannot be imported."""
    found: dict[str, Any] = {"cores": os.cpu_count()}
    try:
        import torch
    except Exception as error:  # a broken installation is what this command is for
        return found | {"torch": f"cannot be imported: {type(error).__name__}: {error}"}
    found["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        found["cuda"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    else:
        found["cuda"] = "none"
    if sys.platform == "darwin":
        found["mps"] = torch.backends.mps.is_available()
    return found
