"""Pipelines as TOML files and as text: what `--pipeline FILE` reads and `backlight pipeline show` prints."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backlight.core.errors import FormatError, RequestError
from backlight.core.pipeline import Pipeline, Step


def read_pipeline(path: str | Path) -> Pipeline:
    """Read a pipeline from TOML: `name` and a list of `[[steps]]`; without a name it gets the file's.

    Raises FormatError naming the file for what is no TOML, RequestError for steps that do not fit.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"pipeline {path} cannot be read: {error}") from error
    try:
        return Pipeline.from_dict({"name": path.stem, **document})
    except RequestError as error:
        raise RequestError(f"pipeline {path}: {error}") from error


def to_toml(pipeline: Pipeline) -> str:
    """Return the TOML from which `read_pipeline` builds an equal pipeline."""
    document = pipeline.to_dict()
    lines = [f"name = {_value(document['name'])}"]
    for step in document["steps"]:
        lines += [
            "",
            "[[steps]]",
            f"name = {_value(step['name'])}",
            f"processor = {_value(step['processor'])}",
        ]
        for table in ("parameters", "inputs"):
            if step.get(table):
                lines.append(f"{table} = {_inline(step[table])}")
    return "\n".join(lines) + "\n"


def drawn(pipeline: Pipeline) -> str:
    """Return the steps in order, one a line, each with its sources, parameters and outputs."""
    bound = pipeline.bindings()
    return "\n".join([pipeline.name, *(_line(step, bound[step.name]) for step in pipeline.steps)]) + "\n"


def sweep(pipeline: Pipeline, parameter: str, values: tuple[Any, ...]) -> Pipeline:
    """Return the pipeline with one step, and all that depends on it, once for every value of its parameter.

    parameter: "step.parameter". What lies upstream is shared. Copies are called `step-parameter=value`.
    Raises RequestError for unknown names and for no values.
    """
    name, _, field = parameter.partition(".")
    pipeline.step(name)
    if not values or not field:
        raise RequestError(f"a sweep over {parameter!r} needs STEP.PARAMETER and at least one value")
    bound = pipeline.bindings()
    below = {name}
    for step in pipeline.steps:
        if any(source.partition(".")[0] in below for source in bound[step.name].values()):
            below.add(step.name)
    versions = [
        (
            pipeline.replace({parameter: value}),
            {s: f"{s}-{field.replace('_', '-')}={_tag(value)}" for s in below},
        )
        for value in values
    ]
    steps: list[Step] = []
    for step in pipeline.steps:  # step by step, so that no copy meets outputs of a later step's copy
        many = versions if step.name in below else [(pipeline, {})]
        steps += [_explicit(p.step(step.name), bound[step.name], names) for p, names in many]
    return Pipeline(pipeline.name, tuple(steps))


def _explicit(step: Step, bound: Mapping[str, str], names: Mapping[str, str]) -> Step:
    """Return the step renamed, with every source written out and renamed too."""
    sources = {}
    for port, source in bound.items():
        head, dot, output = source.partition(".")
        sources[port] = f"{names.get(head, head)}.{output}" if dot else source
    return Step(names.get(step.name, step.name), step.processor, sources)


def _tag(value: Any) -> str:
    text = str(value).lower()
    return "".join(c if c.isalnum() else "-" for c in text).strip("-") or "none"


def _line(step: Step, bound: Mapping[str, str]) -> str:
    sources = ", ".join(dict.fromkeys(bound.values()))
    parameters = ", ".join(f"{k}={v!r}" for k, v in step.processor.parameters().items() if v is not None)
    outputs = ", ".join(step.processor.yields)
    return f"  {step.name:<16} [{step.processor.stage}] {sources} -> {outputs}\n{'':<20}{parameters or '-'}"


def _inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(_pairs(table)) + " }"


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else repr(value)
