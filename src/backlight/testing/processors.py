"""What every processor has to be: a pure, seeded function of its inputs and fields, on few samples too."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import tempfile
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from backlight.core.errors import BacklightError
from backlight.core.pipeline import Pipeline
from backlight.core.pipelines.cache import Cache, step_key
from backlight.core.processor import Processor
from backlight.testing import methods
from backlight.testing.require import ConformanceError, failing_as, require
from backlight.testing.samples import sample
from backlight.testing.subject import Subject

ENOUGH = 40
FEW = (0, 1, 2, 3)


def check_outputs(subject: Subject) -> None:
    """It returns the outputs it declares, and they can be cached."""
    processor = subject.build()
    outputs = _run(subject, processor, inputs(subject, processor, ENOUGH))
    if type(processor).yields:
        require(
            set(outputs) == set(processor.yields),
            f"{subject} returned {sorted(outputs)}, but declares {sorted(processor.yields)}; mend `yields` "
            "or what it returns",
        )
    with tempfile.TemporaryDirectory() as folder:
        require(
            Cache(folder).put("key", outputs),
            f"{subject} returned something that cannot be cached; return arrays, sparse matrices, numbers "
            "and text, or dicts, lists and tuples of these",
        )
        require(not list(Path(folder).rglob("*.part")), f"{subject}: the cache left a part behind")


def check_purity(subject: Subject) -> None:
    """Its inputs are as they were."""
    processor = subject.build()
    given = inputs(subject, processor, ENOUGH)
    before = copy.deepcopy(given)
    _run(subject, processor, given)
    for port, value in given.items():
        require(
            _same(value, before[port]),
            f"{subject} changed its input {port!r} in place; work on a copy",
        )


def check_seed(subject: Subject) -> None:
    """The seed fixes the outputs, whatever the global random state is, which stays as it was."""
    processor = subject.build()
    if "seed" in processor.parameters():
        processor = dataclasses.replace(processor, seed=3)
    given = inputs(subject, processor, ENOUGH)
    before = np.random.get_state()
    try:
        np.random.seed(1)
        one = _run(subject, processor, copy.deepcopy(given))  # a change in place is another check's affair
        np.random.seed(2)
        other = _run(subject, processor, given)
    finally:
        np.random.set_state(before)
    require(
        _same(one, other),
        f"{subject}: two runs with one seed differ; give it a field `seed` and draw from "
        "np.random.default_rng(self.seed or 0) only",
    )


def check_cache_key(subject: Subject) -> None:
    """Every field changes the cache key."""
    processor = subject.build()
    key = _key(subject, processor)
    require(key == _key(subject, subject.build()), f"{subject}: two built alike have different cache keys")
    for name in _fields(subject, processor):
        others = list(_others(subject, processor, name))
        require(
            bool(others),
            f"{subject}: the suite knows no other valid value of {name}; pass a Specimen with `others`, "
            f"{{{name!r}: value}}",
        )
        require(
            _key(subject, others[0]) != key,
            f"{subject}: {name} does not change the cache key, so that old results would be taken for new "
            "ones; do not override `parameters`, and keep everything in fields",
        )


def check_few_samples(subject: Subject) -> None:
    """No, one, two and three samples, and counts larger than n, give a result or an error that says why."""
    processor = subject.build()
    for n in FEW:
        _bears(subject, processor, n, "")
    if isinstance(processor, Pipeline):
        return  # what its steps make of large counts is theirs
    for name, value in _fields(subject, processor).items():
        if isinstance(value, int) and not isinstance(value, bool) and name != "seed":
            more = FEW[-1] + 1
            _bears(subject, _rebuilt(subject, name, more), FEW[-1], f", {name} = {more}")


def _rebuilt(subject: Subject, name: str, value: int) -> Processor | None:
    """Return the processor with another value of a field, None where that value is refused."""
    try:
        processor: Processor = subject.build(**{name: value})
    except (BacklightError, ValueError):
        return None
    return processor


def _bears(subject: Subject, processor: Processor | None, n: int, text: str) -> None:
    """Require of n samples a result, or an error meant for users. text: which fields were changed."""
    if processor is None:
        return
    given = inputs(subject, processor, n)
    try:
        outputs = _called(processor, given)
    except BacklightError as error:
        require(
            bool(str(error)), f"{subject}: the error for n = {n}{text} has no message; say what is expected"
        )
        return
    except Exception as error:
        raise ConformanceError(
            f"{subject} fails for n = {n}{text} with {type(error).__name__}: {error}; return a result, or "
            "raise a RequestError that says how many samples are expected"
        ) from error
    require(
        not type(processor).yields or set(outputs) == set(processor.yields),
        f"{subject} returned {sorted(outputs)} for n = {n}{text}, but declares {sorted(processor.yields)}",
    )


def check_dtypes(subject: Subject) -> None:
    """It takes float32, and the sparse formats that its annotations name."""
    processor = subject.build()
    given = inputs(subject, processor, ENOUGH)
    single = {port: _single(value) for port, value in given.items()}
    with failing_as(f"{subject} does not take float32 inputs; relevance comes in float32"):
        _called(processor, single)
    for port, value in given.items():
        for accepted in _formats(processor, port) if sp.issparse(value) else ():
            with failing_as(
                f"{subject} does not take {accepted.__name__} for {port!r}, as its annotation says; "
                "convert it"
            ):
                _called(processor, {**given, port: accepted(value)})


def inputs(subject: Subject, processor: Processor, n: int) -> dict[str, Any]:
    """Return values of all ports of the processor that are known, for n samples."""
    known = sample(n) | dict(subject.specimen.inputs(n) if subject.specimen.inputs else {})
    missing = [port for port in processor.needs() if port not in known]
    require(
        not missing,
        f"{subject} needs {', '.join(missing)}, which the suite has no sample of; pass a Specimen with "
        "`inputs`, a function n -> {port: value}",
    )
    return {port: known[port] for port in processor.accepts() if port in known}


def _run(subject: Subject, processor: Processor, given: Mapping[str, Any]) -> dict[str, Any]:
    with failing_as(f"{subject} fails on {ENOUGH} ordinary samples"):
        return _called(processor, given)


def _called(processor: Processor, given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(processor(**given))
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}


def _key(subject: Subject, processor: Processor) -> str:
    """Return the cache key of a processor, of all steps if it is a pipeline."""
    with failing_as(f"{subject}: {processor!r} has no cache key"):
        if isinstance(processor, Pipeline):
            return repr([(step.name, step_key(step.processor, {})) for step in processor.steps])
        return step_key(processor, {})


def _fields(subject: Subject, processor: Processor) -> dict[str, Any]:
    """Return the parameters by name: the fields, or what the factory of a pipeline takes."""
    if not isinstance(processor, Pipeline):
        return {field.name: getattr(processor, field.name) for field in dataclasses.fields(processor)}  # type: ignore[arg-type]
    parameters = inspect.signature(subject.spec.factory).parameters
    return {name: p.default for name, p in parameters.items()}


def _others(subject: Subject, processor: Processor, name: str) -> Iterator[Processor]:
    """Yield processors that differ in one parameter."""
    hints = typing.get_type_hints(subject.spec.factory)
    value = _fields(subject, processor)[name]
    named = [subject.specimen.others[name]] if name in subject.specimen.others else []
    for other in (*named, *_guesses(value, hints.get(name, Any))):
        if other == value:
            continue
        try:
            yield subject.build(**{name: other})
        except (BacklightError, ValueError, TypeError):
            continue


def _guesses(value: Any, hint: Any) -> Iterator[Any]:
    """Yield values that may be valid where `value` is."""
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
    for part in typing.get_args(hint):
        yield from _guesses(None, part)
    if isinstance(value, bool) or hint is bool:
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value / 2, value - 1, value + 8, (value + 1) / 2)
    elif hint in (int, float):
        yield from (1, 2)
    elif hint is str:
        yield "x"
    elif isinstance(value, str):
        yield from (value + "x",)
    elif isinstance(value, tuple):
        yield from ((*value, *value), (*value, 1), value[:-1], (*value, "x"))


def _single(value: Any) -> Any:
    if sp.issparse(value) or (isinstance(value, np.ndarray) and value.dtype == np.float64):
        return value.astype(np.float32)
    return value


def _formats(processor: Processor, port: str) -> list[Callable[[Any], Any]]:
    try:
        hints = typing.get_type_hints(type(processor).__call__)
    except (NameError, TypeError):
        return []
    named = {hints.get(port), *typing.get_args(hints.get(port))}
    known = (sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.csc_matrix, sp.coo_matrix)
    everything = sp.sparray in named
    return [kind for kind in known if kind in named or (everything and issubclass(kind, sp.sparray))]


def _same(one: Any, other: Any) -> bool:
    if sp.issparse(one):
        return bool(one.shape == other.shape and (one != other).nnz == 0)
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and one != one:
        return bool(other != other)
    return bool(one == other)


def _either(method: Callable[[Subject], None], stage: Callable[[Subject], None]) -> Callable[[Subject], None]:
    """Return the check for attribution methods or the one for analysis stages, as the processor is."""

    def check(subject: Subject) -> None:
        (method if methods.is_method(subject) else stage)(subject)

    check.__doc__ = stage.__doc__
    return check


def _nothing(subject: Subject) -> None:
    """Check nothing: it does not apply to attribution methods."""


CHECKS: dict[str, Callable[[Subject], Any]] = {
    "outputs": _either(methods.check_outputs, check_outputs),
    "purity": _either(methods.check_purity, check_purity),
    "seed": _either(methods.check_seed, check_seed),
    "cache-key": check_cache_key,
    "few-samples": _either(_nothing, check_few_samples),
    "dtypes": _either(methods.check_dtypes, check_dtypes),
}
