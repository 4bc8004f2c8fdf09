"""A finished or growing run, or a ViRelAy project: one YAML file and the HDF5 files it points to.

Everything is opened read-only; `write_project` alone writes, atomically. Formats: docs/formats.md.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.projects.annotations import Annotations
from backlight.core.projects.confine import Roots
from backlight.core.projects.curation import Curation
from backlight.core.projects.image_directory import ImageDirectory
from backlight.core.store import Rows, atomic_text, channels_first, class_indices, displayable, open_hdf5

PROJECT_FILE = "project.yaml"
LABEL_FILE = "labels.json"
DATA_FILE = "data.h5"
ATTRIBUTION_FILE = "attribution.h5"
ANALYSIS_FILE = "analysis.h5"

Array = NDArray[Any]


@dataclass(frozen=True)
class Label:
    """One class of the label map."""

    index: int
    name: str
    word_net_id: str | None = None

    @property
    def category(self) -> str:
        """Name of the class's group in an analysis file."""
        return self.word_net_id or f"{self.index:08d}"


class LabelMap:
    """The classes of a project, by index and by analysis category."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self.labels = tuple(labels)
        self._by_index = {label.index: label for label in self.labels}
        self._by_category = {label.category: label for label in self.labels}

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> Label:
        """Return the label of a class index; one that the map lacks gets its number as a name."""
        return self._by_index.get(index) or Label(index, f"class {index}")

    def of_category(self, category: str) -> Label | None:
        """Return the class an analysis category stands for, or None for another kind of grouping."""
        if category in self._by_category:
            return self._by_category[category]
        return self.label(int(category)) if category.isdecimal() else None

    def to_json(self) -> str:
        """Return the label map as ViRelAy reads it, which names a category by its word_net_id alone."""
        rows = [{"index": x.index, "word_net_id": x.category, "name": x.name} for x in self.labels]
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> LabelMap:
        """Read a JSON label map; raise FormatError naming the file and entry that does not fit."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return cls(Label(int(r["index"]), str(r["name"]), r.get("word_net_id")) for r in rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"label map {path} cannot be used ({error!r}); "
                'expected [{"index", "word_net_id", "name"}, …]'
            ) from error


class _Files:
    """HDF5 files of one project, opened once, read-only."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._open: dict[Path, h5py.File] = {}
        self._rows: dict[tuple[Path, str], Rows] = {}
        self._lock = threading.Lock()

    def get(self, path: Path) -> h5py.File:
        with self._lock:
            if path not in self._open:
                file = open_hdf5(path)
                try:
                    self._roots.check(file)
                except BaseException:
                    file.close()
                    raise
                self._open[path] = file
            return self._open[path]

    def rows(self, path: Path, key: str) -> Rows:
        """Return one item of a file, whose shards or keys are looked at once and not for every picture."""
        file = self.get(path)
        with self._lock:
            if (path, key) not in self._rows:
                self._rows[path, key] = Rows(file, key)
            return self._rows[path, key]

    def close(self) -> None:
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()
            self._rows.clear()


class Hdf5Dataset:
    """Inputs and labels of a project's samples, by dataset index."""

    def __init__(self, files: _Files, path: Path, name: str) -> None:
        self._files, self._path, self.name = files, path, name

    @property
    def _data(self) -> Rows:
        return self._files.rows(self._path, "data")

    @cached_property
    def labels(self) -> Array:
        """(N,) int64 class index of every sample; the first set class of an n-hot label."""
        return class_indices(self._files.rows(self._path, "label"))

    def __len__(self) -> int:
        return len(self._data)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return the input picture of one sample, (H, W, 3) uint8."""
        return displayable(self._data[index])

    def file_name(self, index: int) -> str:
        """Return where the sample came from: its recorded source file, its key, or its number."""
        file = self._files.get(self._path)
        if "source" in file:
            return str(file["source"].asstr()[index])
        return self._data.keys[index] if self._data.keys is not None else f"{index}"


class Attributions:
    """Relevance and predictions, looked up by dataset index over one or more files."""

    def __init__(self, files: _Files, paths: Sequence[Path], method: str) -> None:
        self._files, self.paths, self.method = files, tuple(paths), method

    @cached_property
    def _where(self) -> tuple[Array, Array, Array]:
        """Ascending dataset indices, (M,), with the file and the row of each; the first file wins."""
        found = [np.asarray(self._index(path), dtype=np.int64) for path in self.paths] or [
            np.zeros(0, np.int64)
        ]
        if len(found) == 1 and (np.diff(found[0]) > 0).all():
            return found[0], np.zeros(len(found[0]), np.int32), np.arange(len(found[0]))
        indices, first = np.unique(np.concatenate(found), return_index=True)
        numbers = np.repeat(np.arange(len(found), dtype=np.int32), [len(index) for index in found])
        rows = np.concatenate([np.arange(len(index)) for index in found])
        return indices, numbers[first], rows[first]

    def _index(self, path: Path) -> Array:
        rows = len(self._files.rows(path, "attribution"))
        if "index" not in self._files.get(path):
            return np.arange(rows)
        index: Array = self._files.rows(path, "index").array()
        if index.shape != (rows,):
            raise FormatError(f"{path}: 'index' has shape {index.shape}, expected ({rows},)")
        return index

    @cached_property
    def indices(self) -> Array:
        """(M,) int64 ascending dataset indices that have an attribution."""
        return self._where[0]

    def holds(self, indices: Array) -> NDArray[np.bool_]:
        """Return which dataset indices have an attribution, (n,) bool."""
        return np.isin(indices, self.indices)

    def _find(self, indices: Array) -> tuple[Array, Array]:
        """Return the file and the row of each of some dataset indices."""
        known, numbers, rows = self._where
        asked = np.asarray(indices, dtype=np.int64)
        places = np.searchsorted(known, asked)
        missing = (
            known[np.minimum(places, len(known) - 1)] != asked if len(known) else np.ones(len(asked), bool)
        )
        if missing.any():
            files = ", ".join(map(str, self.paths))
            raise FormatError(f"no attribution of sample {asked[missing][0]} in {files}")
        return numbers[places], rows[places]

    def relevance(self, index: int) -> Array:
        """Return the raw relevance of one sample, (C, H, W) float32."""
        (number,), (row,) = self._find(np.array([index]))
        rows = self._files.rows(self.paths[number], "attribution")
        return channels_first(rows[int(row)]).astype(np.float32, copy=False)

    def relevances(self, indices: Array) -> Array:
        """Return the raw relevance of many samples of one size, (n, C, H, W) float32, in that order."""
        arrays = [channels_first(array) for array in self._take("attribution", indices)]
        shapes = {a.shape for a in arrays}
        if len(shapes) > 1:
            raise FormatError(
                f"attributions have {len(shapes)} different shapes {sorted(shapes)[:3]}; expected one size"
            )
        return (
            np.stack(arrays).astype(np.float32, copy=False) if arrays else np.zeros((0, 1, 1, 1), np.float32)
        )

    def predictions(self, indices: Array) -> Array:
        """Return the model's output of many samples, (n, classes) float32; (n, 0) where none was recorded."""
        if not len(indices) or not self._recorded("prediction", indices):
            return np.zeros((len(indices), 0), np.float32)
        return np.stack([np.atleast_1d(array) for array in self._take("prediction", indices)]).astype(
            np.float32
        )

    @property
    def layers(self) -> list[str]:
        """Names of the layers whose relevance was kept in every file."""
        groups = [self._files.get(path).get("layer", {}) for path in self.paths]
        return sorted(set.intersection(*(set(group) for group in groups))) if groups else []

    def layer(self, name: str, indices: Array) -> Array:
        """Return the relevance of a layer, (n, channels) or (n, *layer) float32, in the order asked for."""
        if name not in self.layers:
            raise RequestError(f"the run has {unknown('layer', name, self.layers)}")
        return np.stack(self._take(f"layer/{name}", indices)).astype(np.float32)

    def training(self, indices: Array) -> NDArray[np.bool_] | None:
        """Return which samples belong to the training split, (n,) bool, or None where it was not recorded."""
        if not self._recorded("train", indices):
            return None
        found = np.zeros(len(indices), dtype=bool)
        for path, positions, rows in self._by_file(indices):
            found[positions] = self._files.rows(path, "train").array().astype(bool)[rows]
        return found

    def _recorded(self, key: str, indices: Array) -> bool:
        return all(key in self._files.get(path) for path, _, _ in self._by_file(indices))

    def _take(self, key: str, indices: Array) -> list[Array]:
        """Return one item of many samples, in the order asked for."""
        taken: dict[int, Array] = {}
        for path, positions, rows in self._by_file(indices):
            taken |= zip(positions.tolist(), self._files.rows(path, key).take(rows), strict=True)
        return [taken[position] for position in range(len(indices))]

    def _by_file(self, indices: Array) -> list[tuple[Path, Array, Array]]:
        """Return for each file that is needed which of `indices` it holds, and in which rows."""
        numbers, rows = self._find(indices)
        groups = [(number, np.flatnonzero(numbers == number)) for number in np.unique(numbers).tolist()]
        return [(self.paths[number], positions, rows[positions]) for number, positions in groups]


@dataclass(frozen=True)
class Embedding:
    """A stored embedding of a category: coordinates by name, with the attributes kept beside them."""

    name: str
    size: int
    dimensions: int
    eigenvalues: Array | None
    """(D,) Laplacian eigenvalues in the order of the columns, or None."""
    _dataset: h5py.Dataset = field(repr=False, compare=False)

    @property
    def component(self) -> Array:
        """(D,) column of each display component: by ascending Laplacian eigenvalue, else as stored."""
        return (
            np.arange(self.dimensions)
            if self.eigenvalues is None
            else np.argsort(self.eigenvalues, kind="stable")
        )

    def columns(self, *axes: int) -> Array:
        """Return the chosen columns, (S, len(axes)) float32, reading no others."""
        return np.stack([np.asarray(self._dataset[:, axis], dtype=np.float32) for axis in axes], axis=1)

    def all(self) -> Array:
        """Return the whole embedding, (S, D) float32."""
        return np.asarray(self._dataset, dtype=np.float32)


class Category:
    """One group of samples that was analysed together, usually a class."""

    def __init__(self, group: h5py.Group, label: Label | None, analysis: str = "") -> None:
        self._group, self.label, self.analysis = group, label, analysis
        self.id = group.name.strip("/")

    @property
    def name(self) -> str:
        """What a person calls the category."""
        return self.label.name if self.label else self.id

    @cached_property
    def index(self) -> Array:
        """(S,) int64 dataset index of every sample."""
        if "index" not in self._group:
            raise FormatError(f"{self._group.file.filename}{self._group.name} has no 'index'")
        return np.asarray(self._group["index"], dtype=np.int64)

    @property
    def embeddings(self) -> list[str]:
        """Names of the stored embeddings."""
        return sorted(self._group.get("embedding", ()))

    @property
    def clusterings(self) -> list[str]:
        """Names of the stored clusterings."""
        return sorted(self._group.get("cluster", ()))

    def embedding(self, name: str) -> Embedding:
        """Return one embedding by name."""
        if name not in self.embeddings:
            raise RequestError(f"category {self.name!r} has {unknown('embedding', name, self.embeddings)}")
        dataset = self._group["embedding"][name]
        values = dataset.attrs.get("laplacian_eigenvalue", dataset.attrs.get("eigenvalue"))
        size, dimensions = (int(n) for n in dataset.shape)
        eigenvalues = (
            None if values is None or len(np.atleast_1d(values)) != dimensions else np.asarray(values)
        )
        return Embedding(name, size, dimensions, eigenvalues, dataset)

    def clusters(self, name: str) -> Array:
        """Return the cluster of every sample, (S,) int32, -1 = noise."""
        if name not in self.clusterings:
            raise RequestError(f"category {self.name!r} has {unknown('clustering', name, self.clusterings)}")
        return np.asarray(self._group["cluster"][name], dtype=np.int32)

    def clustering_attributes(self, name: str) -> dict[str, Any]:
        """Return what was recorded beside a clustering (embedding, k, …)."""
        self.clusters(name)
        return dict(self._group["cluster"][name].attrs)

    def tree(self, clustering: str) -> tuple[Array, Array] | None:
        """Return how l parts merge, (l - 1, 4) as scipy's linkage, and their sizes and clusters, (l, 2).

        None for a clustering that is no tree.
        """
        item = self._group.get("tree", {}).get(clustering)
        return None if item is None else (np.asarray(item), np.asarray(item.attrs["leaves"]))

    @property
    def attributes(self) -> dict[str, Any]:
        """What was recorded about the whole category (suspicious_cluster, suspicious_clustering, …)."""
        return dict(self._group.attrs)

    @property
    def provenance(self) -> dict[str, Any]:
        """What the analysis file says about how it came to be (pipeline, seed, by, …)."""
        return dict(self._group.file.attrs)

    @property
    def suspicious(self) -> tuple[str, int] | None:
        """Clustering and cluster that the analysis names as the one to look at, or None."""
        clustering, cluster = (
            self.attributes.get("suspicious_clustering"),
            self.attributes.get("suspicious_cluster", -1),
        )
        return (str(clustering), int(cluster)) if clustering in self.clusterings and cluster >= 0 else None

    @property
    def suspicion(self) -> tuple[str, float] | None:
        """The score that ranks the category among others, and its value, higher first; None without one."""
        name = str(self.attributes.get("ranked_by", "tau"))
        value = self.attributes.get("suspicion", self.scores.get("tau"))
        return (name, float(value)) if value is not None and np.isfinite(value) else None

    def members(self, clustering: str, cluster: int) -> Array:
        """Return the dataset indices of one cluster's samples, (n,) int64."""
        found: Array = self.index[self.clusters(clustering) == cluster]
        return found

    @cached_property
    def scores(self) -> dict[str, Array]:
        """Scores by name: scalars (0-d), or one value per cluster with the attribute `cluster`."""
        return {name: np.asarray(item) for name, item in self._group.get("score", {}).items()}

    def score_attributes(self, name: str) -> dict[str, Any]:
        """Return what was recorded beside a score (clustering, baseline, …)."""
        return dict(self._group["score"][name].attrs)


class Analysis:
    """One analysis method of a project: its categories over one or more files."""

    def __init__(self, files: _Files, method: str, paths: Sequence[Path], labels: LabelMap) -> None:
        self.method, self.paths = method, tuple(paths)
        self._files, self._labels = files, labels

    @cached_property
    def categories(self) -> dict[str, Category]:
        """Categories by id, in file order; the first file that holds one wins."""
        found: dict[str, Category] = {}
        for path in self.paths:
            file = self._files.get(path)
            for key in file:
                if isinstance(file[key], h5py.Group) and key not in found:
                    found[key] = Category(file[key], self._labels.of_category(key), self.method)
        return found

    def category(self, category: str) -> Category:
        """Return one category by id or human name."""
        if category in self.categories:
            return self.categories[category]
        for candidate in self.categories.values():
            if candidate.name == category:
                return candidate
        names = [c.name for c in self.categories.values()]
        raise RequestError(f"analysis {self.method!r} has {unknown('category', category, names)}")


class Project:
    """Read-only view of a run directory or ViRelAy project. Close it, or use it as a context manager."""

    def __init__(self, path: Path, document: Mapping[str, Any], roots: Sequence[Path] = ()) -> None:
        self.path, self.root = path, path.parent
        self.document = document
        self.roots = Roots(path.parent, *roots)
        self.annotations = Annotations(path)
        self._files = _Files(self.roots)
        body = _mapping(document, "project", path)
        self.name = str(_get(body, "name", path))
        self.model = str(_get(body, "model", path))
        self.extra: Mapping[str, Any] = document.get("backlight") or {}
        self.labels = LabelMap.read(self._inside(_get(body, "label_map", path), "label_map"))
        self.dataset = self._dataset(_mapping(body, "dataset", path))
        shown = _mapping(body, "attributions", path)
        self.attributions = Attributions(
            self._files,
            [self._inside(s, "attributions.sources") for s in _list(shown, "sources", path)],
            str(shown.get("attribution_method", "")),
        )
        self.attribution_strategy = str(shown.get("attribution_strategy", "true_label"))
        sources: dict[str, list[Path]] = {}
        for entry in _list(body, "analyses", path) if body.get("analyses") else []:
            if not isinstance(entry, dict):
                raise FormatError(f"{path}: 'analyses' holds {type(entry).__name__}, expected mappings")
            sources.setdefault(str(_get(entry, "analysis_method", path)), []).extend(
                self._inside(s, "analyses.sources") for s in _list(entry, "sources", path)
            )
        self.analyses = {m: Analysis(self._files, m, paths, self.labels) for m, paths in sources.items()}

    def _inside(self, text: Any, key: str) -> Path:
        return self.roots.path(self.root, text, f"{self.path}: {key}")

    def _dataset(self, entry: Mapping[str, Any]) -> Hdf5Dataset | ImageDirectory:
        where, name = self._inside(_get(entry, "path", self.path), "dataset.path"), str(entry.get("name", ""))
        if entry.get("type") == "hdf5":
            return Hdf5Dataset(self._files, where, name)
        if entry.get("type") == "image_directory":
            return ImageDirectory(where, name, entry, self.labels, self.roots, self.path)
        raise FormatError(
            f"{self.path}: dataset.type is {entry.get('type')!r}, expected 'hdf5' or 'image_directory'"
        )

    def analysis(self, method: str) -> Analysis:
        """Return one analysis by method name."""
        if method not in self.analyses:
            raise RequestError(f"project {self.name!r} has {unknown('analysis', method, self.analyses)}")
        return self.analyses[method]

    def curation(self, category: Category, clustering: str | None) -> Curation:
        """Return what people made of the clusters of a clustering."""
        return self.annotations.curation(f"{category.analysis}/{category.id}/{clustering}")

    def close(self) -> None:
        """Close every file."""
        self._files.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_project(path: str | Path, roots: Sequence[str | Path] = ()) -> Project:
    """Open a run directory (its project.yaml) or a ViRelAy project file.

    roots: further folders that its files may lie in; what leads out of all of them is refused.
    Raises RequestError when there is nothing there, FormatError naming the file and key that does not fit.
    """
    file = Path(path)
    if file.is_dir():
        file = file / PROJECT_FILE
    if not file.is_file():
        raise RequestError(f"{path} is no run directory or project file: expected {file}")
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise FormatError(
            f"{file} holds {type(document).__name__}, expected a mapping with the key 'project'"
        )
    return Project(file, document, [Path(root) for root in roots])


def write_project(
    root: Path,
    *,
    name: str,
    model: str,
    dataset: str,
    labels: LabelMap,
    method: str,
    strategy: str,
    image_size: tuple[int, int],
    analyses: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write label map and project file of a run directory; ViRelAy opens the result as it is.

    image_size: (height, width) of the inputs. analyses: method names whose results lie in the analysis file.
    """
    height, width = image_size
    document = {
        "project": {
            "name": name,
            "model": model,
            "label_map": LABEL_FILE,
            "dataset": {
                "name": dataset,
                "type": "hdf5",
                "path": DATA_FILE,
                "input_width": width,
                "input_height": height,
                "down_sampling_method": "none",
                "up_sampling_method": "none",
            },
            "attributions": {
                "attribution_method": method,
                "attribution_strategy": strategy,
                "sources": [ATTRIBUTION_FILE],
            },
            "analyses": [{"analysis_method": a, "sources": [ANALYSIS_FILE]} for a in analyses],
        },
        "backlight": dict(extra or {}),
    }
    atomic_text(root / LABEL_FILE, labels.to_json())
    path = root / PROJECT_FILE
    atomic_text(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return path


def _get(mapping: Mapping[str, Any], key: str, path: Path) -> Any:
    if mapping.get(key) is None:
        raise FormatError(f"{path} lacks the key {key!r}; it has {', '.join(map(str, mapping)) or 'none'}")
    return mapping[key]


def _list(mapping: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = _get(mapping, key, path)
    if not isinstance(value, list):
        raise FormatError(f"{path}: {key!r} is {type(value).__name__}, expected a list")
    return value


def _mapping(mapping: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    value = _get(mapping, key, path)
    if not isinstance(value, dict):
        raise FormatError(f"{path}: {key!r} is {type(value).__name__}, expected a mapping")
    return value
