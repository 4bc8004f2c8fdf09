"""Composites: which rule explains which operation, as plain, hashable, serialisable data.

The first entry whose matcher fits an operation decides. `BASE` closes every preset: activations pass
relevance, sums and average pools share it in proportion, a product gives it to the signal rather than to its
gate (attention weights are gates too), normalisations count their scale as a constant. A batch norm that
could not be merged is a linear layer of its own, whose shift absorbs its share.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backlight.core.errors import RequestError, unknown
from backlight.core.registry import check_parameters, registry

if TYPE_CHECKING:
    from backlight.core.ops import Site
    from backlight.core.rule import Rule

AFFINE = ("linear", "convolution")
KINDS = (
    *AFFINE, "activation", "average-pool", "batch-norm", "matmul", "max-pool", "normalisation", "product",
    "scale", "softmax", "sum",
)  # fmt: skip


_TEXTS = ("kind", "module", "name", "regex")


@dataclass(frozen=True)
class Match:
    """Which operations an entry is for; every field given must fit.

    kind: operation kind, one of `KINDS`, or "affine" for linear and convolution alike.
    module: class name of the executing module, e.g. "Conv2d".
    name: glob on the executing module's path, e.g. "layer4.*".
    regex: regular expression that must match the whole path.
    position: index among the executed operations that the entry's other fields fit, in execution order; 0 or
        "first" is the first, -1 or "last" the last.
    predicate: called with the operation's Site; not serialisable.
    """

    kind: str | None = None
    module: str | None = None
    name: str | None = None
    regex: str | None = None
    position: int | Literal["first", "last"] | None = None
    predicate: Callable[[Site], bool] | None = None

    def __post_init__(self) -> None:
        for key in _TEXTS:
            value = getattr(self, key)
            if not isinstance(value, str | None):
                raise RequestError(f"composite entry has {key} {value!r}, expected a text")
        if self.kind is not None and self.kind not in (*KINDS, "affine"):
            raise RequestError(f"composite entry has {unknown('kind', self.kind, (*KINDS, 'affine'))}")
        if isinstance(self.position, str):
            places = {"first": 0, "last": -1}
            if self.position not in places:
                raise RequestError(f"composite entry has {unknown('position', self.position, places)}")
            object.__setattr__(self, "position", places[self.position])
        if self.position is not None and type(self.position) is not int:
            raise RequestError(f"composite entry has position {self.position!r}, expected a whole number")
        if self.regex is not None:
            try:
                re.compile(self.regex)
            except re.error as error:
                raise RequestError(
                    f"composite entry has the invalid regex {self.regex!r}: {error}"
                ) from error

    @property
    def place(self) -> int | None:
        """The position as a number, negative from the end."""
        return self.position if isinstance(self.position, int) else None

    def fits(self, site: Site) -> bool:
        """Say whether everything but `position` fits the operation at `site`."""
        kinds = AFFINE if self.kind == "affine" else (self.kind,)
        return (
            (self.kind is None or site.kind in kinds)
            and (self.module is None or site.module == self.module)
            and (self.name is None or fnmatch.fnmatchcase(site.path, self.name))
            and (self.regex is None or re.fullmatch(self.regex, site.path) is not None)
            and (self.predicate is None or self.predicate(site))
        )


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Entry:
    """One line of a composite: a matcher, and a rule by name with its parameters or as an object.

    Without a kind in its matcher, the entry is for the kinds of operation its rule is written for.
    """

    match: Match
    rule: str | Rule
    parameters: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, rule: str | Rule, match: Match | None = None, **parameters: Any) -> Entry:
        """Build an entry, making sequence-valued parameters hashable."""
        frozen = tuple(sorted((k, _frozen(v)) for k, v in parameters.items()))
        return cls(match or Match(), rule, frozen)

    def build(self) -> Rule:
        """Return the rule; RequestError if it needs a linear map and the matcher names another kind."""
        kind, takes = self.match.kind, self.takes()
        needs_map = takes is not None and takes <= {*AFFINE, "batch-norm"}
        if takes is not None and needs_map and kind not in (None, "affine", *AFFINE, *takes):
            *most, last = sorted(takes)
            known = f"{', '.join(most)} and {last}" if most else last
            raise RequestError(f"rule {self.rule!r} is written for {known} operations, not for kind {kind!r}")
        if isinstance(self.rule, str):
            built: Rule = registry().create("rule", self.rule, **dict(self.parameters))
            return built
        return self.rule

    def stabilised(self, how: str) -> Entry:
        """Return this entry with a stabiliser, if its rule has one."""
        if not isinstance(self.rule, str):
            has = "stabiliser" in {f.name for f in fields(self.rule)}  # type: ignore[arg-type]
            return replace(self, rule=replace(self.rule, stabiliser=how)) if has else self  # type: ignore[type-var]
        if "stabiliser" not in signature(registry().spec("rule", self.rule).factory).parameters:
            return self
        return Entry.of(self.rule, self.match, **{**dict(self.parameters), "stabiliser": how})

    def takes(self) -> frozenset[str] | None:
        """Return the kinds of operation the rule is written for; None if it does not say."""
        name = self.rule if isinstance(self.rule, str) else registry().name_of("rule", type(self.rule))
        if name is None:
            return None
        takes: tuple[str, ...] = getattr(registry().spec("rule", name), "takes", ())
        return frozenset(k for take in takes for k in (AFFINE if take == "affine" else (take,)))


@dataclass(frozen=True)
class Composite:
    """An ordered list of entries; the first that fits an operation decides its rule.

    start: what the backward pass starts from: the explained "value", which relevance shares out, or its
        "slope", for modified gradients.
    """

    entries: tuple[Entry, ...]
    name: str = "custom"
    start: Literal["value", "slope"] = "value"

    def __post_init__(self) -> None:
        if self.start not in ("value", "slope"):
            raise RequestError(f"composite has {unknown('start', str(self.start), ('value', 'slope'))}")

    def after(self, *entries: Entry) -> Composite:
        """Return this composite with `entries` in front."""
        return replace(self, entries=(*entries, *self.entries), name=f"{self.name}+{len(entries)}")

    def stabilised(self, how: str) -> Composite:
        """Return this composite with a stabiliser, "sign", "clip" or "norm", in every rule that has one."""
        from backlight.core.ops import STABILISERS

        if how not in STABILISERS:
            raise RequestError(f"composite {self.name!r} has {unknown('stabiliser', how, STABILISERS)}")
        return replace(self, entries=tuple(entry.stabilised(how) for entry in self.entries))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `composite` reads back; RequestError for predicates and unknown rules."""
        start = {} if self.start == "value" else {"start": self.start}
        return {
            "name": self.name,
            **start,
            "base": False,
            "entries": [_entry_to_dict(e) for e in self.entries],
        }


def base(epsilon: float = 1e-6) -> tuple[Entry, ...]:
    """Return the entries that close every preset. epsilon: stabiliser of those that divide."""
    return (
        Entry.of("pass", Match(kind="activation")),
        Entry.of("norm", Match(kind="sum"), epsilon=epsilon),
        Entry.of("norm", Match(kind="average-pool"), epsilon=epsilon),
        Entry.of("epsilon", Match(kind="batch-norm"), epsilon=epsilon),
        Entry.of("pass", Match(kind="scale")),
        Entry.of("gate", Match(kind="product"), epsilon=epsilon),
        Entry.of("gate", Match(kind="matmul"), epsilon=epsilon),
        Entry.of("softmax", Match(kind="softmax")),
        Entry.of("normalisation", Match(kind="normalisation"), epsilon=epsilon),
    )


BASE = base()


def composite(source: str | Path | Mapping[str, Any] | Composite, **parameters: Any) -> Composite:
    """Build a composite from a preset's or rule's name, a TOML, YAML or JSON file, or a mapping.

    A rule's name means that rule on every operation it takes, over the common base (over plain gradients for
    a rule that modifies a gradient). `epsilon` and `stabiliser` ("sign", "clip", "norm") of either reach all
    rules that divide. A mapping has `entries` (each with `rule`, the rule's parameters, and matcher fields),
    optionally `extends` (a preset they go in front of, with `parameters`), `name`, `start`, and `base`
    (default true: close with the common base).
    """
    if isinstance(source, Composite):
        return source
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, Path) or str(source).endswith((".toml", ".yaml", ".yml", ".json")):
        return _from_mapping(_read(Path(source)))
    try:
        spec = registry().spec("composite", source)
    except RequestError:
        if source not in registry().names("rule"):
            raise
        return _lift(source, parameters)
    how = None if "stabiliser" in signature(spec.factory).parameters else parameters.pop("stabiliser", None)
    check_parameters(f"composite {source!r}", spec.factory, parameters)
    built: Composite = spec.factory(**parameters)
    return built if how is None else built.stabilised(how)


def _lift(name: str, parameters: Mapping[str, Any]) -> Composite:
    """Return the composite that applies one rule to every kind of operation it is written for."""
    spec = registry().spec("rule", name)
    check_parameters(f"rule {name!r}", spec.factory, parameters)
    kinds: tuple[str, ...] = getattr(spec, "takes", ())
    entries = tuple(Entry.of(name, Match(kind=k), **parameters) for k in kinds)
    if getattr(spec, "gradient", False):
        return Composite(entries, name, "slope")
    whole = Composite((*entries, *base(parameters.get("epsilon", 1e-6))), name)
    return whole.stabilised(parameters["stabiliser"]) if "stabiliser" in parameters else whole


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        data: Any = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except FileNotFoundError:
        raise RequestError(f"composite file {path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:  # TOML that does not parse is a ValueError
        raise RequestError(f"composite file {path} cannot be read: {error}") from error
    if not isinstance(data, Mapping):
        raise RequestError(
            f"composite file {path} holds {type(data).__name__}, expected a table with 'entries'"
        )
    return data


def _yaml(text: str) -> Any:
    """Return what YAML or JSON text holds; ValueError if it does not parse."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _from_mapping(data: Mapping[str, Any]) -> Composite:
    known = ("name", "extends", "parameters", "base", "start", "entries")
    for key in data:
        if key not in known:
            raise RequestError(f"composite has {unknown('key', key, known)}")
    listed = data.get("entries", ())
    if not isinstance(listed, (list, tuple)):
        raise RequestError(f"composite has entries of type {type(listed).__name__}, expected a list")
    entries = tuple(_entry_from_dict(number, e) for number, e in enumerate(listed))
    name = str(data.get("name", "custom"))
    if "extends" in data:
        parameters = {k: _frozen(v) for k, v in dict(data.get("parameters", {})).items()}
        preset = composite(str(data["extends"]), **parameters)
        return replace(preset.after(*entries), name=name, start=data.get("start", preset.start))
    if not entries:
        raise RequestError("composite has no entries and extends no preset, so it would match nothing")
    closed = (*entries, *BASE) if data.get("base", True) else entries
    return Composite(closed, name, data.get("start", "value"))


def _entry_from_dict(number: int, data: Any) -> Entry:
    if not isinstance(data, Mapping) or not isinstance(data.get("rule"), str):
        raise RequestError(f"composite entry {number} lacks a 'rule' name: {data!r}")
    matcher = (*_TEXTS, "position")
    match = Match(**{k: v for k, v in data.items() if k in matcher})
    entry = Entry.of(
        data["rule"], match, **{k: v for k, v in data.items() if k not in matcher and k != "rule"}
    )
    entry.build()  # a mistyped rule or parameter is told here, not in the middle of a run
    return entry


def _entry_to_dict(entry: Entry) -> dict[str, Any]:
    match = {f.name: v for f in fields(Match) if (v := getattr(entry.match, f.name)) is not None}
    if "predicate" in match:
        raise RequestError("a composite with a predicate cannot be written to a file")
    if isinstance(entry.rule, str):
        return {"rule": entry.rule, **dict(entry.parameters), **match}
    name = registry().name_of("rule", type(entry.rule))
    if name is None:
        raise RequestError(f"{entry.rule!r} is no registered rule, so it cannot be written to a file")
    parameters = {f.name: getattr(entry.rule, f.name) for f in fields(entry.rule)}  # type: ignore[arg-type]
    return {"rule": name, **parameters, **match}
