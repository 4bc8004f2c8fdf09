"""Digests that make a cache key total: of values by content, parameters by field, code by what it can reach.

Code is digested as compiled, not as text: the bytecode, constants and defaults of every method, and of
every function and class of the same package it names, however deep. What is imported from other packages is
covered by their versions.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import numpy as np
import scipy.sparse as sp

from backlight.core.errors import RequestError

_SIMPLE = (type(None), bool, int, float, complex, str, bytes)


def digest_text(*parts: str) -> str:
    """Return the digest of a sequence of strings; ("ab", "c") and ("a", "bc") differ."""
    hasher = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode()
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return hasher.hexdigest()


def digest_value(value: Any) -> str:
    """Return the digest of an array, sparse matrix or scalar, or of a tuple, list or dict of such."""
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise RequestError(
                "an array of Python objects has no digest; expected numbers, booleans or strings"
            )
        array = np.ascontiguousarray(value)
        raw = array.reshape(-1).view(np.uint8).data if array.size and array.itemsize else b""
        data = hashlib.blake2b(raw, digest_size=20).hexdigest()
        return digest_text("array", array.dtype.str, str(np.shape(value)), data)
    if sp.issparse(value):
        entries = value.tocoo()
        parts = [digest_value(part) for part in (entries.row, entries.col, entries.data)]
        return digest_text("sparse", value.format, str(value.shape), *parts)
    if isinstance(value, Mapping):
        items = sorted((str(key), digest_value(item)) for key, item in value.items())
        return digest_text("dict", *(part for item in items for part in item))
    if isinstance(value, tuple | list):
        return digest_text(type(value).__name__, *map(digest_value, value))
    return digest_text("plain", canonical(value))


def canonical(value: Any) -> str:
    """Return text that is equal for equal parameters and different for different ones.

    Raises RequestError for a value whose content cannot be told.
    """
    if isinstance(value, _SIMPLE):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}:[{','.join(map(canonical, value))}]"
    if isinstance(value, frozenset | set):
        return f"set:[{','.join(sorted(map(canonical, value)))}]"
    if isinstance(value, Mapping):
        return "dict:" + json.dumps(sorted((str(k), canonical(v)) for k, v in value.items()))
    if isinstance(value, np.ndarray | np.generic) or sp.issparse(value):
        return digest_value(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{qualified_name(type(value))}({canonical(fields)})"
    if hasattr(value, "get_params") and not isinstance(value, type):  # a scikit-learn estimator
        return f"{qualified_name(type(value))}({canonical(value.get_params(deep=False))})"
    if isinstance(value, types.FunctionType | type):
        return f"{qualified_name(value)}#{digest_code(value)}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"callable:{qualified_name(value)}"
    raise RequestError(
        f"a parameter of type {qualified_name(type(value))} cannot be cached; use plain values or arrays"
    )


def qualified_name(thing: Any) -> str:
    """Return `module:qualname` of a class or function."""
    return f"{thing.__module__}:{thing.__qualname__}"


def digest_code(thing: types.FunctionType | type) -> str:
    """Return the digest of a function or class and of everything of its package that it can reach."""
    package = (thing.__module__ or "").partition(".")[0]
    reached: dict[str, str] = {}
    _reach(thing, package, reached)
    return digest_text(sys.version, *(part for item in sorted(reached.items()) for part in item))


@functools.cache
def environment(distribution: str) -> str:
    """Return the versions of a distribution and of what it requires, as text; "" if it is not installed."""
    try:
        requires = metadata.requires(distribution) or []
        versions = {distribution: metadata.version(distribution)}
    except metadata.PackageNotFoundError:
        return ""
    for requirement in requires:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if "extra ==" not in requirement:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return json.dumps(versions, sort_keys=True)


def _reach(thing: Any, package: str, reached: dict[str, str]) -> None:
    """Add `thing` and what it names to `reached`, by qualified name."""
    name = qualified_name(thing)
    if name in reached:
        return
    reached[name] = ""  # entered before its parts, which may name it in turn
    if isinstance(thing, type):
        reached[name] = digest_text(*sorted(_class_parts(thing, package, reached)))
        for base in thing.__mro__[1:]:
            if base.__module__.partition(".")[0] == package:
                _reach(base, package, reached)
    else:
        reached[name] = _function_digest(thing, package, reached)


def _class_parts(owner: type, package: str, reached: dict[str, str]) -> Iterator[str]:
    """Yield a digest of every method and plain attribute of a class."""
    for name, member in vars(owner).items():
        inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        inner = getattr(inner, "__wrapped__", getattr(inner, "func", inner))
        if isinstance(inner, types.FunctionType):
            yield digest_text(name, _function_digest(inner, package, reached))
        elif isinstance(inner, (*_SIMPLE, tuple)) and name not in (
            "__doc__",
            "__firstlineno__",
            "__module__",
        ):
            yield digest_text(name, repr(inner))


def _function_digest(function: types.FunctionType, package: str, reached: dict[str, str]) -> str:
    defaults = repr((function.__defaults__, function.__kwdefaults__))
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    for name in sorted(_names(function.__code__)):
        _follow(name, function.__globals__.get(name), package, reached)
    for number, value in enumerate(cells):
        _follow(f"{qualified_name(function)}.{number}", value, package, reached)
    return digest_text(_code_digest(function.__code__), re.sub(r" at 0x[0-9a-f]+", "", defaults))


def _follow(name: str, value: Any, package: str, reached: dict[str, str]) -> None:
    """Add one global or enclosed value that a function names."""
    if isinstance(value, types.FunctionType | type):
        if (value.__module__ or "").partition(".")[0] == package:
            _reach(value, package, reached)
    elif isinstance(value, (*_SIMPLE, tuple, frozenset)) and value is not None:
        reached[f"={name}"] = canonical_or_repr(value)
    elif hasattr(value, "__wrapped__") and isinstance(value.__wrapped__, types.FunctionType):
        _follow(name, value.__wrapped__, package, reached)


def canonical_or_repr(value: Any) -> str:
    """Return `canonical(value)`, or the type's name where a value has no canonical form."""
    try:
        return canonical(value)
    except RequestError:
        return qualified_name(type(value))


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _names(code: types.CodeType) -> set[str]:
    return {name for inner in _codes(code) for name in inner.co_names}


def _code_digest(code: types.CodeType) -> str:
    parts: list[str] = []
    for inner in _codes(code):
        constants = [_constant(c) for c in inner.co_consts if not isinstance(c, types.CodeType)]
        parts += [
            inner.co_name,
            inner.co_code.hex(),
            repr(inner.co_names),
            repr(inner.co_varnames),
            *constants,
        ]
    return digest_text(*parts)


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
