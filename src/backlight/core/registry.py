"""Registry of plugins: names from metadata, import on first use, one broken plugin never in another's way.

Listing reads entry points only. A module is imported when one of its names is looked up, validated whole, and
then committed with all its names or remembered as a failure, which is shown by `plugins` and raised when one
of its names is used.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from backlight.core.discovery import Entry, canonical, discover
from backlight.core.errors import BacklightError, PluginError, unknown
from backlight.core.hookspecs import SPECS, Group, Kind, PluginSpec
from backlight.core.loading import HookManager, import_module, listed, validated

BLOCK_VARIABLE = "BACKLIGHT_PLUGINS_BLOCK"
ALLOW_VARIABLE = "BACKLIGHT_PLUGINS_ALLOW"

State = Literal["available", "loaded", "blocked", "ambiguous", "failed"]


@dataclass(frozen=True)
class Plugin:
    """One installed plugin as `plugins` reports it.

    state: "available" (not imported yet), "loaded", "blocked", "ambiguous" or "failed".
    summary: what it does, "" until it is loaded. problem: why it cannot be used under its bare name, or "".
    """

    kind: Kind
    name: str
    dist: str
    version: str
    state: State
    module: str
    summary: str = ""
    problem: str = ""


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
        self._specs: dict[Entry, PluginSpec] = {}
        self._failures: dict[Entry, BaseException] = {}
        self._manager = HookManager()

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """Return the installed entry points, by group and name, without importing any."""
        with self._lock:
            if self._entries is None:
                self._entries = tuple(sorted(set(discover())))
        return self._entries if kind is None else tuple(e for e in self._entries if self.kind(e) == kind)

    def names(self, kind: Kind) -> list[str]:
        """Return the public names of one kind that are not blocked, without importing any."""
        return sorted({entry.name for entry in self.entries(kind) if not self._blocked(entry)})

    def kind(self, entry: Entry) -> Kind:
        """Return what `entry` is: read off its metadata until it is loaded, certain afterwards."""
        spec = self._specs.get(entry)
        return spec.kind if spec else entry.kind

    def state(self, entry: Entry) -> State:
        """Return "available", "loaded", "blocked", "ambiguous" or "failed"."""
        if self._blocked(entry):
            return "blocked"
        if entry in self._failures:
            return "failed"
        if len(self._rivals(entry)) > 1:
            return "ambiguous"
        return "loaded" if entry in self._specs else "available"

    def failure(self, entry: Entry) -> str | None:
        """Return why `entry` failed to load, or None."""
        cause = self._failures.get(entry)
        return _failure(entry, cause) if cause else None

    def plugins(self, kind: Kind | None = None, *, load: bool = False) -> tuple[Plugin, ...]:
        """Return one record for each installed plugin, by kind and name; `load` imports them first."""
        if load:
            self.load_all(kind)
        records = [self._record(entry) for entry in self.entries(kind)]
        order = get_args(Kind)
        return tuple(sorted(records, key=lambda p: (order.index(p.kind), p.name, p.dist, p.module)))

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the one usable entry of `kind` called `name` or `dist/name`.

        Raises PluginError when there is none, when it is blocked, or when two distributions offer the name.
        """
        group = _group(kind)
        offered = [e for e in self.entries() if e.group == group and e.called(name)]
        if not offered:
            raise PluginError(unknown(kind, name, self.names(kind)))
        usable = [e for e in offered if not self._blocked(e)]
        if not usable:
            raise PluginError(_blocked(offered[0]))
        if len(usable) > 1:
            raise PluginError(_ambiguous(usable))
        return usable[0]

    def spec(self, kind: Kind, name: str) -> PluginSpec:
        """Return the descriptor of the plugin `name` or `dist/name`, importing its module if needed."""
        spec = self.load(self.find(kind, name))
        if spec.kind != kind:
            raise PluginError(f"{name!r} is a {spec.kind}, not a {kind}")
        return spec

    def create(self, kind: Kind, name: str, **parameters: Any) -> Any:
        """Build the plugin `name` with `parameters`; parameters it cannot take are a PluginError."""
        factory = self.spec(kind, name).factory
        what = f"{kind} {name!r}"
        check_parameters(what, factory, parameters, complete=True)
        try:
            return factory(**parameters)
        except BacklightError:
            raise
        except (TypeError, ValueError) as error:
            raise PluginError(f"{what}: {error}") from error

    def load(self, entry: Entry) -> PluginSpec:
        """Import and validate the module behind `entry`, once; raise PluginError if it cannot be used."""
        if self._blocked(entry):
            raise PluginError(_blocked(entry))
        if entry not in self._specs and entry not in self._failures:
            self._attempt(entry)
        if cause := self._failures.get(entry):
            raise PluginError(_failure(entry, cause)) from cause
        return self._specs[entry]

    def load_all(self, kind: Kind | None = None) -> None:
        """Load every usable entry, or those of the group of one kind; failures are remembered, not raised."""
        group = _group(kind) if kind else None
        for entry in self.entries():
            known = entry in self._specs or entry in self._failures
            if group in (None, entry.group) and not known and not self._blocked(entry):
                self._attempt(entry)

    def name_of(self, kind: Kind, factory: object) -> str | None:
        """Return the public name under which `factory` was loaded, or None."""
        with self._lock:
            loaded = list(self._specs.values())
        return next((spec.name for spec in loaded if spec.kind == kind and spec.factory is factory), None)

    def _attempt(self, entry: Entry) -> None:
        """Commit every name of the module behind `entry`, or remember for each why that failed."""
        siblings = [entry, *(e for e in self.entries() if e != entry and _origin(e) == _origin(entry))]
        try:
            # Not under our lock: the module may itself ask the registry while another thread imports it.
            module = import_module(entry)
            with self._lock:
                if entry not in self._specs:
                    naming = [e for e in self.entries() if e.module == entry.module]
                    self._specs |= validated(siblings, naming, self._manager.call(module))
        except (Exception, SystemExit) as error:
            with self._lock:
                self._failures |= dict.fromkeys(siblings, error)

    def _record(self, entry: Entry) -> Plugin:
        state = self.state(entry)
        problem = ""
        if state == "blocked":
            problem = _blocked(entry)
        elif state == "failed":
            problem = self.failure(entry) or ""
        elif state == "ambiguous":
            problem = _ambiguous(self._rivals(entry))
        spec = self._specs.get(entry)
        summary = spec.summary if spec else ""
        kind = self.kind(entry)
        return Plugin(kind, entry.name, entry.dist, entry.version, state, entry.module, summary, problem)

    def _blocked(self, entry: Entry) -> bool:
        if entry.matches(self._block):
            return True
        return bool(self._allow) and not entry.built_in and not entry.matches(self._allow)

    def _rivals(self, entry: Entry) -> list[Entry]:
        return [
            e
            for e in self.entries()
            if (e.group, e.name) == (entry.group, entry.name) and not self._blocked(e)
        ]


def check_parameters(what: str, factory: Any, parameters: Iterable[str], *, complete: bool = False) -> None:
    """Raise PluginError naming a parameter `factory` does not take or, if `complete`, those it lacks."""
    given = set(parameters)
    try:
        accepted = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a callable of compiled code may not tell
        return
    if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        for name in sorted(given):
            if name not in accepted:
                raise PluginError(f"{what} has {unknown('parameter', name, accepted)}")
    if complete and (missing := [n for n in required_parameters(factory) if n not in given]):
        raise PluginError(f"{what} needs {listed(missing)}")


def required_parameters(factory: Any) -> list[str]:
    """Return the names of the parameters that have no default."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(factory).parameters
    return [n for n, p in parameters.items() if p.default is p.empty and p.kind not in variadic]


def _group(kind: Kind) -> Group:
    for spec in SPECS:
        if spec.kind == kind:
            return spec.group
    raise PluginError(unknown("kind of plugin", kind, get_args(Kind)))


def _origin(entry: Entry) -> tuple[str, str, str]:
    return entry.group, entry.module, canonical(entry.dist)


def _patterns(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


def _blocked(entry: Entry) -> str:
    return f"{entry} is blocked by --block, --allow, {BLOCK_VARIABLE} or {ALLOW_VARIABLE}"


def _ambiguous(rivals: Sequence[Entry]) -> str:
    kind, name = rivals[0].kind, rivals[0].name
    keys = sorted({e.key for e in rivals})
    if len(keys) == 1:
        modules = " and ".join(e.module for e in rivals)
        return f"{kind} {name!r} is declared twice by {rivals[0].dist} (modules {modules})"
    return f"{kind} {name!r} is offered by more than one distribution; write {' or '.join(map(repr, keys))}"


def _failure(entry: Entry, cause: BaseException) -> str:
    """Return the sentence about a plugin that cannot be used, with what to do about it."""
    reason = " ".join(f"{type(cause).__name__}: {cause}".split())
    missing = (cause.name or "").split(".")[0] if isinstance(cause, ModuleNotFoundError) else ""
    own = entry.module.split(".")[0]
    fix = f"pip install {missing}" if missing and missing != own else f"pip install --upgrade {entry.dist}"
    hint = f"try `{fix}`, or block it with {BLOCK_VARIABLE}={entry.key}"
    return f"{entry} cannot be used: {reason}; {hint}"


_default: Registry | None = None
_default_lock = threading.Lock()


def registry() -> Registry:
    """Return the process-wide registry of installed plugins."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Registry()
        return _default


def plugins(kind: Kind | None = None, *, load: bool = False) -> tuple[Plugin, ...]:
    """Return one frozen record for each installed plugin, without importing any unless `load` is true.

    kind: "rule", "composite", "canonizer", "processor" or "panel"; None for all.
    """
    if kind is not None:
        _group(kind)
    return registry().plugins(kind, load=load)


@contextmanager
def restricted(*, block: Sequence[str] = (), allow: Sequence[str] = ()) -> Iterator[Registry]:
    """Block or allow plugins, besides what the environment says, in this process and those it starts."""
    global _default
    before = {variable: os.environ.get(variable) for variable in (BLOCK_VARIABLE, ALLOW_VARIABLE)}
    outer = _default
    for variable, patterns in ((BLOCK_VARIABLE, block), (ALLOW_VARIABLE, allow)):
        if patterns:
            os.environ[variable] = ",".join([*_patterns(variable), *patterns])
    _default = Registry()
    try:
        yield _default
    finally:
        _default = outer
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
