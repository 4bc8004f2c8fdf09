"""Which rule explains which operation of one model: the composite made ready, and its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.composite import Composite
from backlight.core.coverage import Covered
from backlight.core.derived import Derived
from backlight.core.ops import Op, Site
from backlight.core.rule import Rule


@dataclass(frozen=True)
class Plan:
    """What an explanation knows of its model: rules in order of precedence, canonizers, module paths."""

    composite: Composite
    rules: tuple[Rule, ...]
    kinds: tuple[frozenset[str] | None, ...]
    """Of each entry: the kinds of operation its rule is written for, where the matcher names none."""
    canonizers: tuple[tuple[str, Canonizer], ...]
    paths: Mapping[int, tuple[str, str]]
    derived: Derived = field(default_factory=Derived)
    verified: set[tuple[str, str]] = field(default_factory=set)
    """(canonizer, path) whose outputs were compared with the model's own."""

    @classmethod
    def of(cls, model: nn.Module, composite: Composite, canonizers: Sequence[tuple[str, Canonizer]]) -> Plan:
        """Build the rules and keep the canonizers that apply to the model."""
        # torch.compile wraps a module in one that calls it `_orig_mod`.
        named = ((path.replace("_orig_mod.", ""), module) for path, module in model.named_modules())
        paths = {id(module): (path, type(module).__name__) for path, module in named}
        used = tuple((name, c) for name, c in canonizers if c.applies(model))
        rules = tuple(entry.build() for entry in composite.entries)
        kinds = tuple(entry.takes() if entry.match.kind is None else None for entry in composite.entries)
        return cls(composite, rules, kinds, used, paths)


@dataclass(repr=False)
class Undecided(Rule):
    """The rule of an operation that may turn out to be the last, or last but one, when the model has run."""

    covered: int
    waiting: list[tuple[int, int, int, Rule]]
    rule: Rule | None

    def decide(self, totals: Sequence[int]) -> None:
        """Choose the first entry whose position, counted from the end, is the operation's."""
        hits = (rule for number, at, wanted, rule in self.waiting if at == totals[number] + wanted)
        self.rule = next(hits, self.rule)

    def propagate(self, op: Op, relevance: Tensor) -> Tensor | tuple[Tensor | None, ...]:
        """Return what the chosen rule says, or the plain gradient if there is none."""
        return op.vjp(relevance) if self.rule is None else self.rule.propagate(op, relevance)

    def absorbed(self, op: Op, relevance: Tensor) -> Mapping[str, Tensor]:
        """Return what the chosen rule says."""
        return {} if self.rule is None else self.rule.absorbed(op, relevance)


class Matcher:
    """Finds the rule of each operation of one forward pass."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._positions = [0] * len(plan.rules)
        self._undecided: list[Undecided] = []

    def match(self, site: Site, covered: int) -> Rule | None:
        """Return the rule of the first entry that fits; positions count per entry, negative from the end."""
        found: Rule | None = None
        decided = False
        waiting: list[tuple[int, int, int, Rule]] = []
        for number, entry in enumerate(self.plan.composite.entries):
            kinds = self.plan.kinds[number]
            if (kinds is not None and site.kind not in kinds) or not entry.match.fits(site):
                continue
            position = self._positions[number]
            self._positions[number] += 1
            wanted = entry.match.place
            if decided:
                continue
            if wanted is not None and wanted < 0:
                waiting.append((number, position, wanted, self.plan.rules[number]))
            elif wanted in (None, position):
                found, decided = self.plan.rules[number], True
        if not waiting:
            return found
        choice = Undecided(covered, waiting, found)
        self._undecided.append(choice)
        return choice

    def decide(self, covered: list[Covered]) -> None:
        """Settle rules that depend on how many operations there were in all, and say so in the report."""
        for choice in self._undecided:
            choice.decide(self._positions)
            number = choice.covered
            covered[number] = (
                replace(covered[number], rule=repr(choice.rule))
                if choice.rule is not None
                else Covered(covered[number].site, "gradient")
            )
