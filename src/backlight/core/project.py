"""A finished or growing run, or a ViRelAy project: one YAML file and the HDF5 files it points to.

Everything is opened read-only; `write_project` alone writes, atomically. What a project holds is read by the
modules of `core/projects/`. Formats: docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.projects.analyses import Analysis, Category, Embedding
from backlight.core.projects.annotations import Annotations
from backlight.core.projects.attributions import Attributions
from backlight.core.projects.confine import Roots
from backlight.core.projects.curation import Curation
from backlight.core.projects.files import Files
from backlight.core.projects.hdf5_dataset import Hdf5Dataset
from backlight.core.projects.image_directory import ImageDirectory
from backlight.core.projects.label_map import Label, LabelMap
from backlight.core.store import atomic_text

__all__ = [
    "ANALYSIS_FILE",
    "ATTRIBUTION_FILE",
    "DATA_FILE",
    "LABEL_FILE",
    "PROJECT_FILE",
    "Analysis",
    "Attributions",
    "Category",
    "Embedding",
    "Hdf5Dataset",
    "Label",
    "LabelMap",
    "Project",
    "open_project",
    "write_project",
]

PROJECT_FILE = "project.yaml"
LABEL_FILE = "labels.json"
DATA_FILE = "data.h5"
ATTRIBUTION_FILE = "attribution.h5"
ANALYSIS_FILE = "analysis.h5"


class Project:
    """Read-only view of a run directory or ViRelAy project. Close it, or use it as a context manager."""

    def __init__(self, path: Path, document: Mapping[str, Any], roots: Sequence[Path] = ()) -> None:
        self.path, self.root = path, path.parent
        self.document = document
        self.roots = Roots(path.parent, *roots)
        self.annotations = Annotations(path)
        self._files = Files(self.roots)
        body = _mapping(document, "project", path)
        self.name = str(_get(body, "name", path))
        self.model = str(_get(body, "model", path))
        self.extra: Mapping[str, Any] = document.get("backlight") or {}
        self.labels = LabelMap.read(self._inside(_get(body, "label_map", path), "label_map"))
        self.dataset = self._dataset(_mapping(body, "dataset", path))
        shown = _mapping(body, "attributions", path)
        self.attributions = self._attributions(shown)
        self.attribution_strategy = str(shown.get("attribution_strategy", "true_label"))
        self.analyses = self._analyses(_list(body, "analyses", path) if body.get("analyses") else [])

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

    def _attributions(self, entry: Mapping[str, Any]) -> Attributions:
        method = str(entry.get("attribution_method", ""))
        return Attributions(self._files, self._sources(entry, "attributions"), method)

    def _analyses(self, entries: Sequence[Any]) -> dict[str, Analysis]:
        """Return the analyses by method; entries of one method are joined."""
        paths: dict[str, list[Path]] = {}
        for entry in entries:
            if not isinstance(entry, dict):
                raise FormatError(f"{self.path}: 'analyses' holds {type(entry).__name__}, expected mappings")
            method = str(_get(entry, "analysis_method", self.path))
            paths.setdefault(method, []).extend(self._sources(entry, "analyses"))
        return {method: Analysis(self._files, method, found, self.labels) for method, found in paths.items()}

    def _sources(self, entry: Mapping[str, Any], key: str) -> list[Path]:
        return [self._inside(source, f"{key}.sources") for source in _list(entry, "sources", self.path)]

    def analysis(self, method: str) -> Analysis:
        """Return one analysis by method name."""
        if method not in self.analyses:
            raise RequestError(f"project {self.name!r} has {unknown('analysis', method, self.analyses)}")
        return self.analyses[method]

    def curation(self, category: Category, clustering: str | None) -> Curation:
        """Return what people made of the clusters of a clustering."""
        return self.annotations.curation(f"{category.analysis}/{category.id}/{clustering}")

    def members(self, category: Category, clustering: str, cluster: int) -> NDArray[np.int64]:
        """Return the dataset indices of a cluster's samples as people merged clusters, (n,) int64."""
        curation = self.curation(category, clustering)
        ids = curation.ids(category.clusters(clustering))
        found: NDArray[np.int64] = category.index[ids == curation.into.get(cluster, cluster)]
        return found

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
