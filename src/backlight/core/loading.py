"""One plugin module at a time: imported, asked for its descriptors through pluggy, and validated whole."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pluggy

from backlight.core import hookspecs
from backlight.core.discovery import Entry
from backlight.core.errors import unknown
from backlight.core.hookspecs import GROUPS, PROJECT, SPECS, Group, PluginSpec

TRACE_VARIABLE = "BACKLIGHT_PLUGINS_TRACE"


class HookManager(pluggy.PluginManager):
    """Calls the hooks of one module at a time and refuses those that could never work."""

    def __init__(self) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(hookspecs)
        self._results: list[tuple[str, object]] = []
        if os.environ.get(TRACE_VARIABLE, "0") != "0":
            self.trace.root.setwriter(lambda text: sys.stderr.write(text))
            self.enable_tracing()
        for hook in GROUPS.values():
            # Historic: pluggy replays this call for every module registered later, which makes loading lazy.
            getattr(self.hook, hook).call_historic(self._collector(hook))

    def call(self, module: ModuleType) -> dict[str, object]:
        """Return what each hook that `module` implements returns; nothing stays registered."""
        if self.is_registered(module):
            raise RuntimeError("it asks for one of its own names while it is being loaded")
        outer, self._results = self._results, []
        try:
            self.trace(f"load {module.__name__}")
            self.register(module)
            self.check_pending()
            # A hook that returns None is called but not reported by pluggy.
            implemented = [caller.name for caller in self.get_hookcallers(module) or () if caller.has_spec()]
            called = [hook for hook, _ in self._results]
            if twice := next((hook for hook in called if called.count(hook) > 1), None):
                raise LookupError(f"it implements {twice} twice")
            return dict.fromkeys(implemented) | dict(self._results)
        finally:
            self._results = outer
            if self.is_registered(module):
                self.unregister(module)

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """Refuse what pluggy would let pass: misspelt names until `check_pending`, arguments for ever."""
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None or options.get("optionalhook"):
            return options
        hook = options.get("specname") or name
        if hook not in GROUPS.values():
            raise LookupError(unknown("hook", hook, GROUPS.values()))
        if inspect.signature(getattr(plugin, name)).parameters:
            raise TypeError(f"{name} takes arguments, but hooks are called without any")
        return options

    def _collector(self, hook: str) -> Callable[[object], None]:
        def collect(result: object) -> None:
            self._results.append((hook, result))

        return collect


def import_module(entry: Entry) -> ModuleType:
    """Return the module behind an entry point, imported; ValueError if the entry point names none."""
    if not all(part.isidentifier() for part in entry.module.split(".")):
        raise ValueError(f"entry point {entry.name!r} must name a module, not {entry.module!r}")
    return importlib.import_module(entry.module)


def validated(
    siblings: Sequence[Entry], naming: Sequence[Entry], hooks: Mapping[str, object]
) -> dict[Entry, PluginSpec]:
    """Return the descriptor of each sibling; raise unless their module keeps every promise it makes.

    siblings: entry points of one distribution and group that name the module. naming: all that name it.
    hooks: what each hook it implements returned.
    """
    group, dist = siblings[0].group, siblings[0].dist
    if stray := hooks.keys() - {GROUPS[e.group] for e in naming}:
        raise LookupError(f"it implements {listed(stray)}, but no entry point in that hook's group names it")
    specs = _descriptors(group, hooks)
    if undeclared := specs.keys() - {e.name for e in naming if e.group == group}:
        raise LookupError(
            f"it provides {listed(undeclared)}, which no entry point of {dist} in {group} declares "
            "(after declaring one, install the distribution again)"
        )
    if missing := {e.name for e in siblings} - specs.keys():
        raise LookupError(f"it does not provide {listed(missing)}, only {listed(specs) or 'nothing'}")
    return {e: specs[e.name] for e in siblings}


def _descriptors(group: Group, hooks: Mapping[str, object]) -> dict[str, PluginSpec]:
    """Return the descriptors that the hook of `group` returned, by name; raise for any that is unusable."""
    hook = GROUPS[group]
    if hook not in hooks:
        raise LookupError(f"it implements no {hook}; is the function there and marked with @hookimpl?")
    offered = hooks[hook]
    if not isinstance(offered, (list, tuple)):
        raise TypeError(f"{hook} returned {type(offered).__name__}, expected a list of descriptors")
    expected = tuple(spec for spec in SPECS if spec.group == group)
    specs: dict[str, PluginSpec] = {}
    for spec in offered:
        if not isinstance(spec, expected):
            names = " or ".join(s.__name__ for s in expected)
            raise TypeError(f"{hook} returned a {type(spec).__name__} in its list, expected {names}")
        if problem := spec.problem():
            raise ValueError(f"descriptor {spec.name!r}: {problem}")
        if spec.name in specs:
            raise LookupError(f"it provides {spec.name!r} twice")
        specs[spec.name] = spec
    return specs


def listed(names: Iterable[str]) -> str:
    """Return names as they stand in a sentence."""
    return ", ".join(map(repr, sorted(names)))
