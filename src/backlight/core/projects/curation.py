"""What people made of the clusters of a clustering: names, merged ones, hidden ones; no file changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

NOISE = -1


@dataclass(frozen=True)
class Curation:
    """How the clusters of one clustering are to be shown.

    names: cluster -> name. into: merged cluster -> the one that stands for it. hidden: clusters not to show.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    into: Mapping[int, int] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.names or self.into or self.hidden)

    def ids(self, clusters: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Return the cluster that stands for each of `clusters`; every negative one is noise."""
        found = np.where(clusters < 0, NOISE, clusters).astype(np.int32)
        merged = found.copy()
        for cluster, other in self.into.items():
            merged[found == cluster] = other
        return merged

    def name(self, cluster: int) -> str:
        """Return what a person calls a cluster, merged or not."""
        cluster = self.into.get(cluster, cluster)
        return self.names.get(cluster) or ("noise" if cluster < 0 else f"cluster {cluster}")

    def renamed(self, cluster: int, name: str) -> Curation:
        """Return this with another name for a cluster; "" gives it its own again."""
        kept = {key: value for key, value in self.names.items() if key != cluster}
        return Curation({**kept, **({cluster: name} if name else {})}, self.into, self.hidden)

    def merged(self, cluster: int, other: int) -> Curation:
        """Return this with a cluster, and those merged into it before, counted to another one."""
        cluster, other = self.into.get(cluster, cluster), self.into.get(other, other)
        if cluster == other:
            return self
        into = {key: other if value == cluster else value for key, value in self.into.items()}
        return Curation(self.names, {**into, cluster: other}, self.hidden - {cluster})

    def showing(self, cluster: int, shown: bool) -> Curation:
        """Return this with a cluster hidden or shown."""
        cluster = self.into.get(cluster, cluster)
        return Curation(self.names, self.into, self.hidden - {cluster} if shown else self.hidden | {cluster})
