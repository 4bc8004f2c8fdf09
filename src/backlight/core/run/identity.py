"""What a run is, as plain facts: enough to refuse a different one, and to know later how it was made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from backlight.core.coverage import Coverage
from backlight.core.errors import FormatError, RequestError
from backlight.core.explainer import Explainer
from backlight.core.run.layout import LOCK_FILE, RUN_FILE
from backlight.core.run.settings import Settings
from backlight.core.sources.data import Source
from backlight.core.sources.models import weights_digest

FREE = ("versions", "coverage", "config", "config_digest")
"""Facts that may differ when a run is continued."""


def facts(
    explainer: Explainer, source: Source, settings: Settings, described: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what tells this run from any other, and the versions it is made with."""
    found = {
        "model": type(explainer.model).__name__,
        **described,
        "weights": weights_digest(explainer.model),
        "architecture": architecture_digest(explainer.model),
        "composite": explainer.composite.to_dict() if explainer.composite else None,
        "method": repr(explainer.method),
        "canonizers": list(explainer.canonizers),
        "data": source.name,
        "samples": len(source),
        "samples_digest": source_digest(source),
        "classes": list(source.classes),
        "target": settings.target,
        "batch_size": settings.batch_size,
        "shard_size": settings.shard_size,
        "preprocessing": dataclasses.asdict(settings.preprocessing),
        "output": dataclasses.asdict(settings.output),
        "versions": versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def coverage_facts(coverage: Coverage) -> dict[str, Any]:
    """Return how the model's operations were treated, and by name those that no rule explains."""
    uncovered = [f"{c.site.name} in {c.site.path or 'the model'}: {c.treatment}" for c in coverage.uncovered]
    return {"counts": coverage.counts, "uncovered": uncovered, "canonizers": list(coverage.canonizers)}


def digest(identity: Mapping[str, Any]) -> str:
    """Return the digest of the facts in which every part of one run agrees."""
    return digest_json({key: value for key, value in identity.items() if key not in FREE})


def digest_json(value: Any) -> str:
    """Return a SHA-256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def architecture_digest(model: nn.Module) -> str:
    """Return a digest of what a model's modules are; code of a forward that no module shows is not in it."""
    return hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(model)).encode()).hexdigest()


def source_digest(source: Source) -> str:
    """Return a digest of names and labels, which tells datasets apart without reading pictures."""
    digest = hashlib.sha256()
    for number in range(len(source)):
        digest.update(f"{source.origin(number)}|{source.label(number)}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what computes and stores the results."""
    return {name: metadata.version(name) for name in ("backlight", "torch", "torchvision", "numpy", "h5py")}


def read_identity(root: Path) -> dict[str, Any]:
    """Read run.json; RequestError where there is none, FormatError where it cannot be read."""
    path = root / RUN_FILE
    if not path.is_file():
        raise RequestError(f"{root} is no run directory: expected {path}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} holds {type(found).__name__}, expected an object")
    return found


def check_same_run(root: Path, identity: Mapping[str, Any]) -> None:
    """Raise RequestError unless `root` is new, holds no shard, or is of the same run; names what changed."""
    if root.exists() and not root.is_dir():
        raise RequestError(f"{root} is a file; give an empty or new folder")
    if not (root / RUN_FILE).is_file():
        if root.is_dir() and any(p.name != LOCK_FILE and p.suffix != ".part" for p in root.iterdir()):
            raise RequestError(f"{root} is not empty and no run; give an empty or new folder")
        return
    earlier = read_identity(root)
    changed = [key for key, value in identity.items() if key not in FREE and earlier.get(key) != value]
    if changed and any(root.glob("*/shard-*")):  # one that came to nothing may be asked for otherwise
        raise RequestError(f"{root} holds another run: {', '.join(changed)} changed; give a new folder")
