"""Registry of plugins: names from metadata, import on first use, one broken plugin never in another's way.

Listing reads entry points only. A module is imported when one of its names is looked up, validated whole and
then committed, or remembered as a failure that is shown by `entries` and raised when the name is used.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, get_args

import pluggy

from backlight.core import hookspecs
from backlight.core.errors import PluginError, unknown
from backlight.core.hookspecs import GROUPS, PROJECT, SPECS, Group, Kind, PluginSpec

BLOCK_VARIABLE = "BACKLIGHT_PLUGINS_BLOCK"
ALLOW_VARIABLE = "BACKLIGHT_PLUGINS_ALLOW"
TRACE_VARIABLE = "BACKLIGHT_PLUGINS_TRACE"


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
        return f"{self.dist}/{self.name}"

    @property
    def kind(self) -> Kind:
        """The kind shown before loading: composites share a group with rules and live in a `composites` package."""
        if self.group == "backlight.rules":
            return "composite" if "composites" in self.module.split(".") else "rule"
        return next(spec.kind for spec in SPECS if spec.group == self.group)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.dist} {self.version} (module {self.module})"


def discover() -> Iterator[Entry]:
    """Yield every plugin entry point of the installed distributions, importing nothing."""
    installed = metadata.entry_points()
    for group in get_args(Group):
        for point in installed.select(group=group):
            dist = point.dist
            yield Entry(group, point.name, point.value, dist.name if dist else "?", dist.version if dist else "?")


class Registry:
    """Look up plugins by kind and name.

    entries: what is installed; read from package metadata on first use when not given.
    block: patterns (`name`, `dist` or `dist/name`, with * and ?) that are never imported; added to the
        environment variable BACKLIGHT_PLUGINS_BLOCK (comma-separated).
    allow: if given (or BACKLIGHT_PLUGINS_ALLOW is set), the only third-party plugins that may be imported.
    """

    def __init__(
        self, entries: Iterable[Entry] | None = None, *, block: Sequence[str] = (), allow: Sequence[str] = ()
    ) -> None:
        self._entries = None if entries is None else tuple(sorted(set(entries)))
        self._block = (*block, *_patterns(BLOCK_VARIABLE))
        self._allow = (*allow, *_patterns(ALLOW_VARIABLE))
        self._lock = threading.RLock()
        self._specs: dict[tuple[Kind, str], PluginSpec] = {}
        self._loaded: set[Entry] = set()
        self._failures: dict[Entry, PluginError] = {}
        self._collected: list[tuple[str, object]] = []
        self._manager = self._start_manager()

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """Return the installed entry points, by group and name, without importing any."""
        with self._lock:
            if self._entries is None:
                self._entries = tuple(sorted(set(discover())))
        return self._entries if kind is None else tuple(e for e in self._entries if e.kind == kind)

    def names(self, kind: Kind) -> list[str]:
        """Return the public names of one kind, without importing any."""
        return sorted({entry.name for entry in self.entries(kind)})

    def state(self, entry: Entry) -> str:
        """Return "available", "loaded", "blocked", "ambiguous" or "failed"."""
        if self._blocked(entry):
            return "blocked"
        if entry in self._failures:
            return "failed"
        if entry in self._loaded:
            return "loaded"
        return "ambiguous" if len(self._rivals(entry)) > 1 else "available"

    def failure(self, entry: Entry) -> str | None:
        """Return why `entry` failed to load, or None."""
        error = self._failures.get(entry)
        return str(error) if error else None

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the one usable entry of `kind` called `name` or `dist/name`.

        Raises PluginError when there is none, when it is blocked, or when two distributions offer the name.
        """
        group = next(spec.group for spec in SPECS if spec.kind == kind)
        offered = [e for e in self.entries() if e.group == group and name in (e.name, e.key)]
        if not offered:
            raise PluginError(unknown(kind, name, self.names(kind)))
        usable = [e for e in offered if not self._blocked(e)]
        if not usable:
            raise PluginError(f"{offered[0]} is blocked by {BLOCK_VARIABLE}, {ALLOW_VARIABLE} or an option")
        if len(usable) > 1:
            keys = " or ".join(repr(e.key) for e in usable)
            raise PluginError(f"{kind} {name!r} is offered by more than one distribution; write {keys}")
        return usable[0]

    def spec(self, kind: Kind, name: str) -> PluginSpec:
        """Return the descriptor of the plugin `name` or `dist/name`, importing its module if needed."""
        entry = self.find(kind, name)
        self.load(entry)
        try:
            return self._specs[kind, entry.key]
        except KeyError:
            raise PluginError(f"{entry} provides no {kind} of that name") from None

    def create(self, kind: Kind, name: str, **parameters: Any) -> Any:
        """Build the plugin `name` with `parameters`; a parameter it does not have is a RequestError."""
        factory = self.spec(kind, name).factory
        check_parameters(f"{kind} {name!r}", factory, parameters)
        return factory(**parameters)

    def load(self, entry: Entry) -> None:
        """Import and validate the module behind `entry`, once; raise PluginError if it cannot be used."""
        with self._lock:
            if entry in self._failures:
                raise self._failures[entry]
            if entry in self._loaded:
                return
            try:
                self._commit(entry, self._collect(entry))
            except Exception as error:
                failure = PluginError(
                    f"{entry} cannot be used: {type(error).__name__}: {error}; "
                    f"try `pip install --upgrade {entry.dist}` or block it with {BLOCK_VARIABLE}={entry.dist}"
                )
                self._failures[entry] = failure
                raise failure from error

    def load_all(self, kind: Kind | None = None) -> None:
        """Load every usable entry; failures are remembered, not raised."""
        for entry in self.entries(kind):
            if not self._blocked(entry):
                try:
                    self.load(entry)
                except PluginError:
                    continue  # kept by load() and shown by state() and failure()

    def name_of(self, kind: Kind, factory: object) -> str | None:
        """Return the public name under which `factory` was loaded, or None."""
        return next((s.name for (k, _), s in self._specs.items() if k == kind and s.factory is factory), None)

    def dist_of(self, kind: Kind, factory: object) -> str:
        """Return "dist version" of the plugin built by `factory`, or "" when it came from none."""
        for (k, key), spec in self._specs.items():
            if k == kind and spec.factory is factory:
                return next(f"{e.dist} {e.version}" for e in self._loaded if e.key == key and e.group == spec.group)
        return ""

    def _start_manager(self) -> pluggy.PluginManager:
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(hookspecs)
        if os.environ.get(TRACE_VARIABLE):
            manager.trace.root.setwriter(lambda message: print(message, end="", file=sys.stderr))  # noqa: T201
            manager.enable_tracing()
        for hook in GROUPS.values():
            # Historic: pluggy replays this call for every module registered later, which makes loading lazy.
            getattr(manager.hook, hook).call_historic(self._collector(hook))
        return manager

    def _collector(self, hook: str) -> Any:
        def collect(result: object) -> None:
            self._collected.append((hook, result))

        return collect

    def _collect(self, entry: Entry) -> list[PluginSpec]:
        """Register the module alone and return what its hook for the entry's group offers."""
        module = importlib.import_module(entry.module)
        self._collected.clear()
        try:
            # A module behind several names is registered once for each, so that each is validated alike.
            self._manager.register(module, name=f"{entry.group}:{entry.key}")
            self._manager.check_pending()
        finally:
            if self._manager.is_registered(module):
                self._manager.unregister(module)
        offered: list[PluginSpec] = []
        for hook, result in self._collected:
            if hook == GROUPS[entry.group]:
                if not isinstance(result, (list, tuple)):
                    raise TypeError(f"{hook} returned {type(result).__name__}, expected a list of descriptors")
                offered.extend(result)
        if not offered:
            raise LookupError(f"module implements no {GROUPS[entry.group]}")
        return offered

    def _commit(self, entry: Entry, offered: list[PluginSpec]) -> None:
        mine: dict[tuple[Kind, str], PluginSpec] = {}
        declared = {e.name for e in self.entries() if (e.group, e.module, e.dist) == (entry.group, entry.module, entry.dist)}
        for spec in offered:
            if not isinstance(spec, PluginSpec) or spec.group != entry.group:
                raise TypeError(f"{GROUPS[entry.group]} returned {type(spec).__name__}, expected descriptors of its group")
            if problem := spec.problem():
                raise ValueError(f"descriptor {spec.name!r} {problem}")
            if spec.name not in declared:
                raise LookupError(f"it provides {spec.name!r}, which no entry point of {entry.dist} declares")
            if spec.name == entry.name:
                if (spec.kind, entry.key) in mine:
                    raise LookupError(f"it provides two {spec.kind}s called {spec.name!r}")
                mine[spec.kind, entry.key] = spec
        if not mine:
            raise LookupError(f"it provides {sorted(s.name for s in offered)}, not {entry.name!r}")
        self._specs |= mine
        self._loaded.add(entry)

    def _blocked(self, entry: Entry) -> bool:
        if _matches(entry, self._block):
            return True
        return bool(self._allow) and entry.dist != PROJECT and not _matches(entry, self._allow)

    def _rivals(self, entry: Entry) -> list[Entry]:
        return [e for e in self.entries() if (e.group, e.name) == (entry.group, entry.name) and not self._blocked(e)]


def _patterns(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


def _matches(entry: Entry, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, p) for p in patterns for text in (entry.name, entry.dist, entry.key))


def check_parameters(what: str, factory: Any, parameters: Iterable[str]) -> None:
    """Raise PluginError naming the first parameter that `factory` does not take."""
    import inspect

    accepted = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for name in parameters:
        if name not in accepted:
            raise PluginError(f"{what} has {unknown('parameter', name, accepted)}")


_default: Registry | None = None
_default_lock = threading.Lock()


def registry() -> Registry:
    """Return the process-wide registry of installed plugins."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Registry()
        return _default


def configure(*, block: Sequence[str] = (), allow: Sequence[str] = ()) -> Registry:
    """Replace the process-wide registry by one with these block and allow patterns."""
    global _default
    with _default_lock:
        _default = Registry(block=block, allow=allow)
        return _default
