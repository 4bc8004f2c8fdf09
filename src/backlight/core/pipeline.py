"""Pipelines: a graph of named processor steps, as frozen data that can be run, cached, written and cut.

A port is bound to the most recent earlier step that yields a value of its name, or else to the input of
that name; `Step.inputs` says otherwise where that is not meant. Keys are chained from the inputs through
the steps (a Merkle tree), so what is cached is known before anything runs, and a step runs only when
somebody needs it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from backlight.core.errors import RequestError, unknown
from backlight.core.pipelines.adapter import altered, as_processor
from backlight.core.pipelines.cache import Cache
from backlight.core.pipelines.running import Run
from backlight.core.pipelines.steps import read_step, step_to_dict
from backlight.core.processor import Processor, Stage, check_fields
from backlight.core.registry import registry

ROOTS = ("relevance", "prediction", "label", "train")
"""What a pipeline is given: relevance maps and, where known, predicted and true classes and the split."""

_NAME = re.compile(r"[a-z0-9]+([-_=][a-z0-9]+)*")


@final
@dataclass(frozen=True)
class Step:
    """One named call of a processor.

    processor: or a scikit-learn transformer or clusterer, or a function, which are wrapped.
    inputs: port -> source, for ports that aren't bound by name: "step.output", or the name of an input.
    """

    name: str
    processor: Processor
    inputs: Mapping[str, str] | Iterable[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise RequestError(f"step name {self.name!r} is not kebab-case")
        object.__setattr__(self, "processor", as_processor(self.processor))
        if isinstance(self.processor, Pipeline):
            raise RequestError(f"step {self.name!r} is a whole pipeline; expected its steps one by one")
        check_fields(f"step {self.name!r}", type(self.processor), self.processor.parameters())
        object.__setattr__(self, "inputs", tuple(sorted(dict(self.inputs).items())))
        for port in self.sources:
            if port not in self.processor.accepts():
                raise RequestError(
                    f"step {self.name!r} has {unknown('port', str(port), self.processor.accepts())}"
                )

    @property
    def sources(self) -> dict[str, str]:
        """The explicit bindings, port -> source."""
        return dict(self.inputs)


class Results(Mapping[str, Mapping[str, Any]]):
    """Outputs of a run by step and name: `results["spectral"]["eigenvalues"]`.

    `embedding`, `cluster` and `score` give the first output of every step of that stage, by step name.
    Preprocessed maps are let go once their last reader has run; `until=` keeps them. `computed` lists the
    steps that ran, the others came from the cache.
    """

    def __init__(
        self, pipeline: Pipeline, outputs: Mapping[str, Mapping[str, Any]], computed: tuple[str, ...]
    ) -> None:
        self.pipeline, self.computed = pipeline, computed
        self._outputs = dict(outputs)

    def __getitem__(self, step: str) -> Mapping[str, Any]:
        try:
            return self._outputs[step]
        except KeyError:
            raise KeyError(unknown("step", step, self._outputs)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def embedding(self) -> dict[str, Any]:
        """(N, m) coordinates by step name."""
        return self._first("embedding")

    @property
    def cluster(self) -> dict[str, Any]:
        """(N,) int32 labels by step name, -1 = noise."""
        return self._first("clustering")

    @property
    def score(self) -> dict[str, Any]:
        """Scores by step name: a number, or one value per cluster."""
        return self._first("score")

    def _first(self, stage: Stage) -> dict[str, Any]:
        steps = [s for s in self.pipeline.steps if s.processor.stage == stage and s.name in self._outputs]
        return {s.name: self._outputs[s.name][s.processor.yields[0]] for s in steps}

    def __repr__(self) -> str:
        return f"Results({', '.join(self._outputs)})"


@final
@dataclass(frozen=True)
class Pipeline(Processor):
    """Named steps in order, each fed by earlier ones or by the inputs, which are named in ROOTS.

    Raises RequestError naming step and port when names repeat or a port has no source.
    """

    name: str
    steps: tuple[Step, ...]

    stage: ClassVar[Stage] = "pipeline"
    yields: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        names = [step.name for step in self.steps]
        for name in names:
            if names.count(name) > 1:
                raise RequestError(f"pipeline {self.name!r} has {names.count(name)} steps called {name!r}")
            if name in ROOTS:
                raise RequestError(f"pipeline {self.name!r}: step name {name!r} is the name of an input")
        self.bindings()

    def bindings(self) -> dict[str, dict[str, str]]:
        """Return the source of every bound port, by step: "step.output" or the name of an input."""
        latest: dict[str, str] = {}
        known = set(ROOTS)
        yielded = {f"{step.name}.{output}" for step in self.steps for output in step.processor.yields}
        bound: dict[str, dict[str, str]] = {}
        for step in self.steps:
            explicit = step.sources
            bound[step.name] = {}
            for port in step.processor.accepts():
                source = explicit.get(port, latest.get(port, port))
                if port in explicit and source not in known:
                    reason = unknown("source", source, known)
                    if source in yielded:
                        reason = f"{source} comes later; expected every step below all that feed it"
                    raise RequestError(f"step {step.name!r}, port {port!r}: {reason}")
                if source in known:
                    bound[step.name][port] = source
                elif port in step.processor.needs():
                    offered = {*ROOTS, *latest}
                    reason = f"no earlier step yields it; {unknown('value', port, offered)}"
                    raise RequestError(f"step {step.name!r}, port {port!r}: {reason}")
            for output in step.processor.yields:
                latest[output] = f"{step.name}.{output}"
                known.add(latest[output])
        return bound

    def step(self, name: str) -> Step:
        """Return one step by name."""
        for step in self.steps:
            if step.name == name:
                return step
        raise RequestError(
            f"pipeline {self.name!r} has {unknown('step', name, [s.name for s in self.steps])}"
        )

    def until(self, name: str) -> Pipeline:
        """Return the pipeline that ends with step `name`: it and the steps it needs."""
        bound, wanted = self.bindings(), {self.step(name).name}
        for step in reversed(self.steps):
            if step.name in wanted:
                wanted |= {source.rpartition(".")[0] for source in bound[step.name].values()} - {""}
        return dataclasses.replace(self, steps=tuple(s for s in self.steps if s.name in wanted))

    def replace(self, parameters: Mapping[str, Any]) -> Pipeline:
        """Return the pipeline with other parameters, e.g. {"knn.k": 10}; RequestError for unknown ones."""
        changes: dict[str, dict[str, Any]] = {}
        for key, value in parameters.items():
            name, _, parameter = key.partition(".")
            changes.setdefault(self.step(name).name, {})[parameter] = value
        steps = (
            dataclasses.replace(s, processor=altered(s.name, s.processor, changes.get(s.name, {})))
            for s in self.steps
        )
        return dataclasses.replace(self, steps=tuple(steps))

    def __call__(
        self,
        relevance: Any = None,
        *,
        prediction: Any = None,
        label: Any = None,
        train: Any = None,
        seed: int = 0,
        cache: Cache | None = None,
    ) -> Results:
        """Run every step and return the named results; with a `cache`, only what it doesn't hold.

        relevance: (N, C, H, W). prediction, label: (N,) predicted and true classes. train: (N,) bool.
        seed: of everything random.
        """
        given = {"relevance": relevance, "prediction": prediction, "label": label, "train": train}
        run = Run(self, {name: value for name, value in given.items() if value is not None}, seed, cache)
        return Results(self, run.finish(), tuple(run.computed))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data (TOML- and JSON-able) from which `from_dict` builds an equal pipeline."""
        return {"name": self.name, "steps": [step_to_dict(step) for step in self.steps]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Pipeline:
        """Build a pipeline from plain data; raise RequestError naming the step and key that doesn't fit."""
        for key in document:
            if key not in ("name", "steps"):
                raise RequestError(f"a pipeline has {unknown('key', key, ('name', 'steps'))}")
        steps = document.get("steps")
        if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
            raise RequestError(
                "a pipeline needs the key 'steps', a list of tables with 'name' and 'processor'"
            )
        return cls(str(document.get("name", "pipeline")), tuple(Step(*read_step(step)) for step in steps))


def pipeline(name: str, *, until: str | None = None, **parameters: Any) -> Pipeline:
    """Return the preset pipeline `name` with these parameters, up to step `until`.

    Raises RequestError for an unknown preset, parameter or step, with close matches.
    """
    factory = registry().spec("processor", name).factory
    check_fields(f"pipeline {name!r}", factory, parameters)
    made = factory(**parameters)
    if not isinstance(made, Pipeline):
        raise RequestError(f"{name!r} is a processor of stage {made.stage!r}, not a pipeline")
    return made.until(until) if until else made
