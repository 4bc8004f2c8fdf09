"""One run of a pipeline: keys first, then what is missing, letting go of big maps as soon as possible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backlight.core.errors import RequestError
from backlight.core.pipelines.cache import Cache, step_key
from backlight.core.pipelines.digest import digest_text, digest_value
from backlight.core.processor import Processor

if TYPE_CHECKING:
    from backlight.core.pipeline import Pipeline, Step


class Run:
    """The steps of a pipeline with the inputs, seed and cache of one run. `computed` lists those that ran."""

    def __init__(self, pipeline: Pipeline, inputs: Mapping[str, Any], seed: int, cache: Cache | None) -> None:
        self.pipeline, self.inputs, self.cache = pipeline, inputs, cache
        self.bound = {
            step: {port: s for port, s in ports.items() if "." in s or s in inputs}
            for step, ports in pipeline.bindings().items()
        }
        self.processors = {step.name: _seeded(step.processor, seed) for step in pipeline.steps}
        self.keys = self._keys() if cache else {}
        self.outputs: dict[str, Mapping[str, Any]] = {}
        self.computed: list[str] = []
        self._check()

    def finish(self) -> dict[str, Mapping[str, Any]]:
        """Run what is needed for every step whose outputs are kept; return these by step and name."""
        steps = self.pipeline.steps
        read = set().union(*map(self._sources, self.bound))
        kept = [s.name for s in steps if s.processor.stage != "preprocessing" or s.name not in read]
        pending = self._pending(kept)
        for position, step in enumerate(steps):
            if step.name in pending:
                self._compute(step)
                later = [self._sources(s.name) for s in steps[position + 1 :] if s.name in pending]
                for name in self.outputs.keys() - set(kept).union(*later):
                    del self.outputs[name]
        return {s.name: self.outputs[s.name] for s in steps if s.name in kept}

    def _check(self) -> None:
        for step in self.pipeline.steps:
            for port in step.processor.needs():
                if port not in self.bound[step.name]:
                    raise RequestError(f"step {step.name!r} needs {port!r}, which the pipeline was not given")

    def _pending(self, kept: list[str]) -> set[str]:
        """Load what the cache holds of the kept steps; return the steps that must run for the others."""
        pending: set[str] = set()
        wanted = set(kept)
        for step in reversed(self.pipeline.steps):
            if step.name in wanted and not self._load(step):
                pending.add(step.name)
                wanted |= self._sources(step.name)
        return pending

    def _sources(self, step: str) -> set[str]:
        """Return the steps that a step reads from, and "" for an input of the pipeline."""
        return {source.rpartition(".")[0] for source in self.bound[step].values()}

    def _load(self, step: Step) -> bool:
        found = self.cache.get(self.keys[step.name]) if self.cache and _stored(step) else None
        if found is not None and set(found) == set(step.processor.yields):
            self.outputs[step.name] = found
            return True
        return False

    def _compute(self, step: Step) -> None:
        values = {port: self._value(source) for port, source in self.bound[step.name].items()}
        outputs = self.processors[step.name](**values)
        if set(outputs) != set(step.processor.yields):
            raise RequestError(
                f"step {step.name!r} returned {sorted(outputs)}, but declares {sorted(step.processor.yields)}"
            )
        self.outputs[step.name] = outputs
        self.computed.append(step.name)
        if self.cache and _stored(step):
            self.cache.put(self.keys[step.name], outputs)

    def _value(self, source: str) -> Any:
        step, _, output = source.rpartition(".")
        return self.outputs[step][output] if step else self.inputs[source]

    def _keys(self) -> dict[str, str]:
        sources = {name: digest_value(value) for name, value in self.inputs.items()}
        keys: dict[str, str] = {}
        for step in self.pipeline.steps:
            ports = {port: sources[source] for port, source in self.bound[step.name].items()}
            keys[step.name] = step_key(self.processors[step.name], ports)
            sources |= {
                f"{step.name}.{output}": digest_text(keys[step.name], output)
                for output in step.processor.yields
            }
        return keys


def _stored(step: Step) -> bool:
    # Preprocessing is cheaper to repeat than to read back, and its results are as big as the data.
    return step.processor.stage != "preprocessing"


def _seeded(processor: Processor, seed: int) -> Processor:
    """Return the processor with the run's seed where it has a field for one that was left open."""
    if processor.parameters().get("seed", 0) is None:
        return dataclasses.replace(processor, seed=seed)  # type: ignore[type-var]
    return processor
