"""What an analysis found, by category: embeddings, clusterings and scores as they lie in its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import FormatError, RequestError, unknown
from backlight.core.projects.files import Files
from backlight.core.projects.label_map import Label, LabelMap

Array = NDArray[Any]


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
        if self.eigenvalues is None:
            return np.arange(self.dimensions)
        return np.argsort(self.eigenvalues, kind="stable")

    def columns(self, *axes: int) -> Array:
        """Return the chosen columns, (S, len(axes)) float32; others are read only where they lie between."""
        first, beyond = min(axes), max(axes) + 1
        if beyond - first <= 2 * len(axes):  # one pass over the file takes as long as a single column
            block = np.asarray(self._dataset[:, first:beyond], dtype=np.float32)
            return block[:, [axis - first for axis in axes]]
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
        eigenvalues = None if values is None else np.atleast_1d(values)
        size, dimensions = (int(n) for n in dataset.shape)
        if eigenvalues is not None and len(eigenvalues) != dimensions:
            eigenvalues = None
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
        clustering = self.attributes.get("suspicious_clustering")
        cluster = self.attributes.get("suspicious_cluster", -1)
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

    def __init__(self, files: Files, method: str, paths: Sequence[Path], labels: LabelMap) -> None:
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
