"""Attribution of a dataset into a run directory: shards that appear whole, a run that resumes.

run.json                    what the run is: model, weights, data, composite, versions; a resumed run must agree
data/shard-00000.h5         inputs as pictures, labels, origins
attribution/shard-00000.h5  relevance, predictions, labels, dataset indices; its presence means the shard is done
data.h5, attribution.h5     one virtual dataset over all shards, written when the last is done
labels.json, project.yaml   the project, which ViRelAy opens too
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from backlight.core.errors import BacklightError, FormatError, RequestError
from backlight.core.explainer import Attribution, Explainer
from backlight.core.project import ATTRIBUTION_FILE, DATA_FILE, Label, LabelMap, write_project
from backlight.core.sources.data import Picture, Source
from backlight.core.sources.models import weights_digest
from backlight.core.sources.preprocessing import Preprocessing
from backlight.core.store import atomic_hdf5, atomic_text

RUN_FILE = "run.json"

Progress = Callable[[int, int, str], None]
"""Called with samples done, samples in all, and the name of the shard just finished."""


@dataclass(frozen=True)
class Settings:
    """How a dataset is attributed.

    target: which class is explained, "true" or "predicted".
    failure_limit: share of samples that may be unreadable before the run stops.
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    target: Literal["true", "predicted"] = "true"
    batch_size: int = 64
    shard_size: int = 1024
    failure_limit: float = 0.01

    def __post_init__(self) -> None:
        if self.target not in ("true", "predicted"):
            raise RequestError(f'target is {self.target!r}, expected "true" or "predicted"')
        if self.batch_size < 1 or self.shard_size < 1:
            raise RequestError(
                f"batch size {self.batch_size} and shard size {self.shard_size} must be at least 1"
            )


@dataclass(frozen=True)
class Finished:
    """A finished run: how many samples were attributed, and which could not be read, with the reason."""

    root: Path
    attributed: int
    failures: Mapping[int, str]
    conservation_error: float
    """Median of |Σ relevance − output| / |output| over the samples; NaN for a plain gradient."""


def attribute_dataset(
    explainer: Explainer,
    source: Source,
    root: Path,
    settings: Settings | None = None,
    *,
    name: str | None = None,
    described: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Finished:
    """Explain every sample of `source` into the run directory `root`, continuing where an earlier call stopped.

    described: further plain facts to record, e.g. the model's name. Raises RequestError when `root` holds another run
    or another process is writing it.
    """
    settings = settings or Settings()
    if len(source) == 0:
        raise RequestError(f"data {source.name!r} is empty: there is nothing to attribute")
    identity = _identity(explainer, source, settings, dict(described or {}))
    _check_same_run(root, identity)
    _check_first_batch(explainer, source, settings)  # a wrong request leaves no directory behind
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        _check_same_run(root, identity)
        for part in root.rglob(".*.part"):  # left by a killed run; nobody else can be writing here
            part.unlink()
        atomic_text(root / RUN_FILE, json.dumps(identity, indent=1, ensure_ascii=False) + "\n")
        starts = range(0, len(source), settings.shard_size)
        for number, start in enumerate(starts):
            stop = min(start + settings.shard_size, len(source))
            if not _shard(root, "attribution", number).is_file():
                _write_shard(explainer, source, root, settings, number, range(start, stop))
            if progress:
                progress(stop, len(source), f"shard {number + 1} of {len(starts)}")
        return _finish(explainer, source, root, settings, len(starts), name or root.resolve().name, identity)


def _identity(
    explainer: Explainer, source: Source, settings: Settings, described: dict[str, Any]
) -> dict[str, Any]:
    pre = settings.preprocessing
    return {
        "model": type(explainer.model).__name__,
        **described,
        "weights": weights_digest(explainer.model),
        "composite": explainer.composite.to_dict() if explainer.composite else None,
        "method": repr(explainer.method),
        "canonizers": list(explainer.canonizers),
        "data": source.name,
        "samples": len(source),
        "samples_digest": _source_digest(source),
        "classes": list(source.classes),
        "target": settings.target,
        "shard_size": settings.shard_size,
        "preprocessing": {"size": pre.size and list(pre.size), "mean": list(pre.mean), "std": list(pre.std)},
        "versions": _versions(),
    }


def _source_digest(source: Source) -> str:
    """Return a digest of names and labels, which tells another dataset from the same one without reading pictures."""
    digest = hashlib.sha256()
    for number in range(len(source)):
        digest.update(f"{source.origin(number)}|{source.label(number)}\n".encode())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("backlight", "torch", "torchvision", "numpy", "h5py")}


def _check_same_run(root: Path, identity: Mapping[str, Any]) -> None:
    path = root / RUN_FILE
    if root.exists() and not root.is_dir():
        raise RequestError(f"{root} is a file; give an empty or new folder")
    if not path.is_file():
        if root.is_dir() and any(p.name != ".lock" for p in root.iterdir()):
            raise RequestError(f"{root} is not empty and no run; give an empty or new folder")
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not valid JSON ({error})") from error
    now = json.loads(json.dumps(identity))
    changed = [key for key in now if key != "versions" and earlier.get(key) != now[key]]
    if changed:
        raise RequestError(f"{root} holds another run: {', '.join(changed)} changed; give a new folder")


def _check_first_batch(explainer: Explainer, source: Source, settings: Settings) -> None:
    """Explain one readable sample and throw it away, so that a model that cannot be explained fails at once."""
    for number in range(len(source)):
        try:
            picture = source.picture(number)
        except FormatError:
            continue
        labels = np.array([source.label(number)], dtype=np.int64)
        _explain(explainer, settings, settings.preprocessing.fit(picture)[None], labels)
        return
    raise RequestError(f"none of the {len(source)} samples of data {source.name!r} can be read")


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RequestError(
                f"another process is writing {root}; wait for it or give another folder"
            ) from None
        yield


def _shard(root: Path, kind: str, number: int) -> Path:
    return root / kind / f"shard-{number:05d}.h5"


def _write_shard(
    explainer: Explainer, source: Source, root: Path, settings: Settings, number: int, samples: range
) -> None:
    pictures, failures = _read(source, settings.preprocessing, samples)
    labels = np.array([source.label(i) for i in samples], dtype=np.int64)
    readable = np.array([i not in failures for i in samples])
    rows = np.flatnonzero(readable)
    size = settings.batch_size
    parts = [
        _explain(explainer, settings, pictures[batch], labels[batch])
        for batch in (rows[k : k + size] for k in range(0, len(rows), size))
    ]
    training = [source.training(i) for i in samples]
    with atomic_hdf5(_shard(root, "data", number)) as file:
        _write(file, "data", np.moveaxis(pictures, -1, 1))
        file["label"] = labels.astype(np.uint16)
        file.create_dataset("source", data=[source.origin(i) for i in samples], dtype=h5py.string_dtype())
    with atomic_hdf5(_shard(root, "attribution", number)) as file:
        file.attrs["failures"] = json.dumps({str(i): reason for i, reason in failures.items()})
        file["label"] = labels[rows].astype(np.uint16)
        file["index"] = (rows + samples.start).astype(np.uint32)
        if all(t is not None for t in training):
            file["train"] = np.array(training, dtype=bool)[rows]
        for key in parts[0] if parts else ():
            _write(file, key, np.concatenate([part[key] for part in parts]))


def _write(file: h5py.File, key: str, values: NDArray[Any]) -> None:
    options = {
        "compression": "gzip",
        "compression_opts": 1,
        "shuffle": True,
        "chunks": (1, *values.shape[1:]),
    }
    file.create_dataset(key, data=values, **(options if values.ndim == 4 else {}))


def _read(
    source: Source, preprocessing: Preprocessing, samples: range
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Return fitted pictures (n, H, W, 3), black where unreadable, and the reasons by dataset index."""
    found: dict[int, Picture] = {}
    failures: dict[int, str] = {}
    for number in samples:
        try:
            found[number] = preprocessing.fit(source.picture(number))
        except FormatError as error:
            failures[number] = str(error)
    shapes = {p.shape for p in found.values()}
    if len(shapes) > 1:
        raise RequestError(
            f"pictures have {len(shapes)} sizes, e.g. {sorted(shapes)[:2]}; give one with --size"
        )
    shape = next(iter(shapes), (*(preprocessing.size or (1, 1)), 3))
    black = np.zeros(shape, np.uint8)
    return np.stack([found.get(number, black) for number in samples]), failures


def _explain(
    explainer: Explainer, settings: Settings, pictures: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    device = next((p.device for p in explainer.model.parameters()), torch.device("cpu"))
    inputs = settings.preprocessing.inputs(pictures).to(device)
    truth = torch.from_numpy(labels).to(device)
    explained: Attribution = explainer.explain(inputs, settings.target, labels=truth)
    relevance = explained.relevance.float()
    if not bool(relevance.isfinite().all()):
        raise BacklightError(
            "relevance is not finite; `Attribution.audit` tells at which operation it is lost"
        )
    value = explained.output.gather(1, explained.target[:, None])[:, 0].double()
    error = (relevance.double().flatten(1).sum(1) - value).abs() / value.abs().clamp(min=1e-30)
    found = {"attribution": relevance, "prediction": explained.output.float()}
    if explainer.composite is not None:
        found["conservation_error"] = error.float()
    return {key: tensor.cpu().numpy() for key, tensor in found.items()}


def _finish(
    explainer: Explainer,
    source: Source,
    root: Path,
    settings: Settings,
    shards: int,
    name: str,
    identity: Mapping[str, Any],
) -> Finished:
    failures: dict[int, str] = {}
    errors: list[NDArray[Any]] = []
    for number in range(shards):
        with h5py.File(_shard(root, "attribution", number), "r") as file:
            failures |= {int(k): v for k, v in json.loads(file.attrs["failures"]).items()}
            if "conservation_error" in file:
                errors.append(file["conservation_error"][:])
            shape = file["attribution"].shape if "attribution" in file else None
            height, width = shape[-2:] if shape else (0, 0)
    if len(failures) > settings.failure_limit * len(source):
        first = next(iter(failures.values()))
        raise BacklightError(
            f"{len(failures)} of {len(source)} samples could not be read, more than the limit of "
            f"{settings.failure_limit:.0%}: {first}"
        )
    _join(root, "data", DATA_FILE, shards)
    _join(root, "attribution", ATTRIBUTION_FILE, shards)
    error = float(np.median(np.concatenate(errors))) if errors else float("nan")
    label_map = LabelMap(Label(number, str(text)) for number, text in enumerate(source.classes))
    composite = explainer.composite.name if explainer.composite else type(explainer.method).__name__.lower()
    write_project(
        root,
        name=name,
        model=str(identity["model"]),
        dataset=source.name,
        labels=label_map,
        method=composite,
        strategy=f"{settings.target}_label",
        image_size=(int(height), int(width)),
        analyses=_analyses(root),
        extra={"run": RUN_FILE, "conservation_error": error},
    )
    return Finished(root, len(source) - len(failures), failures, error)


def _analyses(root: Path) -> Sequence[str]:
    """Return the analyses of an earlier finish, which running the same command again must not lose."""
    from backlight.core.project import PROJECT_FILE, open_project

    if not (root / PROJECT_FILE).is_file():
        return ()
    with open_project(root) as project:
        return tuple(project.analyses)


def _join(root: Path, kind: str, target: str, shards: int) -> None:
    """Write one file whose datasets are views over all shards, by relative path."""
    layouts: dict[str, list[tuple[str, tuple[int, ...], Any]]] = {}
    for number in range(shards):
        path = _shard(root, kind, number)
        with h5py.File(path, "r") as file:
            for key, item in file.items():
                layouts.setdefault(key, []).append(
                    (path.relative_to(root).as_posix(), item.shape, item.dtype)
                )
    with atomic_hdf5(root / target) as file:
        for key, parts in layouts.items():
            total = sum(shape[0] for _, shape, _ in parts)
            layout = h5py.VirtualLayout(shape=(total, *parts[0][1][1:]), dtype=parts[0][2])
            start = 0
            for name, shape, _ in parts:
                layout[start : start + shape[0]] = h5py.VirtualSource(name, key, shape=shape)
                start += shape[0]
            file.create_virtual_dataset(key, layout)
