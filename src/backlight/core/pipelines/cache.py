"""Content-addressed store of step results: a key names all that determines a result; no entry goes stale.

An entry is one uncompressed .npz file: arrays as they are, and a JSON manifest for the tree of dicts,
tuples, sparse matrices and scalars around them. No pickle. Entries are written beside their name and
renamed; one that can't be read back (a crash of the machine, a full disk) counts as missing and is
replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from backlight.core.pipelines.digest import canonical, digest_code, digest_text, environment, qualified_name
from backlight.core.processor import Processor
from backlight.core.registry import registry
from backlight.core.store import atomic_path

_SUFFIX = ".npz"
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile, zlib.error)


class Cache:
    """Results of processor calls in a folder, by key."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the outputs stored under `key`, or None when there are none that can be read."""
        path = self._path(key)
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                manifest = json.loads(bytes(file["manifest"]).decode())
                value = _decode(manifest, file)
        except FileNotFoundError:
            return None
        except _UNREADABLE:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read is read
            os.utime(path)  # used last: what `trim` goes by
        return value if isinstance(value, dict) else None

    def put(self, key: str, outputs: Mapping[str, Any]) -> bool:
        """Store `outputs` under `key`, in one step; return False for a value that can't be stored."""
        arrays: dict[str, NDArray[Any]] = {}
        try:
            manifest = json.dumps(_encode(dict(outputs), arrays))
        except TypeError:
            return False
        with atomic_path(self._path(key)) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, manifest=np.frombuffer(manifest.encode(), np.uint8), **arrays)
        return True

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._path(key).is_file()

    def size(self) -> tuple[int, int]:
        """Return the number of entries and of bytes they take."""
        sizes = [path.stat().st_size for path in self._entries()]
        return len(sizes), sum(sizes)

    def clear(self) -> int:
        """Remove every entry and leftover; return how many entries there were."""
        entries = list(self._entries())
        for path in (*entries, *self.root.glob("*/.*.part")):
            path.unlink(missing_ok=True)
        return len(entries)

    def trim(self, limit: int) -> int:
        """Remove the entries used least recently until all take at most `limit` bytes; return how many."""
        entries = sorted(((p.stat().st_mtime_ns, p.stat().st_size, p) for p in self._entries()), reverse=True)
        taken, removed = 0, 0
        for _, size, path in entries:
            taken += size
            if taken > limit:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _entries(self) -> Iterator[Path]:
        return self.root.glob(f"*/[!.]*{_SUFFIX}")

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}{_SUFFIX}"


def step_key(processor: Processor, inputs: Mapping[str, str]) -> str:
    """Return the key of one call: class, code, every field, versions of its packages, digests of the inputs.

    inputs: digest of each bound port. Raises RequestError when a field has no canonical form.
    """
    kind = type(processor)
    provider = _provider(kind)
    return digest_text(
        qualified_name(kind),
        canonical(processor.parameters()),
        digest_code(kind),
        provider,
        environment(provider.partition(" ")[0] or kind.__module__.partition(".")[0]),
        canonical(dict(inputs)),
    )


def _provider(kind: type[Processor]) -> str:
    """Return "dist version" of the plugin that a class comes from, or ""; it need not have been loaded."""
    entries = registry().entries("processor")
    return next((f"{entry.dist} {entry.version}" for entry in entries if entry.module == kind.__module__), "")


def _encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return the JSON tree for `value`, moving arrays to `arrays`; TypeError for what can't be in it."""
    if value is None or isinstance(value, bool | int | float | str):
        return {"plain": value}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise TypeError("array of objects")
        name = f"a{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"scalar" if isinstance(value, np.generic) else "array": name}
    if sp.issparse(value):
        csr = value.tocsr()
        parts = [_encode(part, arrays) for part in (csr.data, csr.indices, csr.indptr)]
        return {
            "sparse": parts,
            "shape": list(csr.shape),
            "format": value.format,
            "matrix": isinstance(value, sp.spmatrix),
        }
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, arrays) for key, item in value.items()}}
    raise TypeError(f"{type(value).__name__} cannot be stored without pickle")


def _decode(node: Any, arrays: Any) -> Any:
    if "sparse" in node:
        data, indices, pointers = (_decode(part, arrays) for part in node["sparse"])
        kind = sp.csr_matrix if node["matrix"] else sp.csr_array
        return kind((data, indices, pointers), shape=tuple(node["shape"])).asformat(node["format"])
    ((kind, value),) = node.items()
    if kind == "plain":
        return value
    if kind == "array":
        return arrays[value]
    if kind == "scalar":
        return arrays[value][()]
    if kind == "dict":
        return {key: _decode(item, arrays) for key, item in value.items()}
    return {"tuple": tuple, "list": list}[kind](_decode(item, arrays) for item in value)
