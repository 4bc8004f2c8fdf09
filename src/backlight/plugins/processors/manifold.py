"""Further embeddings: locally linear, Isomap, UMAP (extra `umap`) of features; diffusion maps of a graph.

A diffusion map (Coifman & Lafon 2006) of the random walk P = D⁻¹A has the coordinates λᵢᵗ·ψᵢ with Pψᵢ = λᵢψᵢ.
With (μᵢ, uᵢ) eigenpairs of the symmetric Laplacian, λᵢ = 1 − μᵢ and ψᵢ = D^-½ uᵢ: no solver needs to see the
unsymmetric P. The ψᵢ are the eigenvectors of the random walk's Laplacian I − P, of eigenvalues μᵢ.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from sklearn import manifold

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._counts import positive

Array = NDArray[Any]


@final
@dataclass(frozen=True)
class LocallyLinear(Processor):
    """Embed so that neighbours reconstruct each sample (Roweis & Saul 2000): features -> projection (N, m).

    m: dimensions. k: neighbours, at most N - 1. seed: of the solver; None takes the run's.
    """

    m: int = 2
    k: int = 32
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("projection",)

    def __post_init__(self) -> None:
        positive("lle", m=self.m, k=self.k)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the coordinates."""
        if len(features) <= self.m + 2:
            return {"projection": np.zeros((len(features), self.m))}
        k = min(self.k, len(features) - 1)
        model = manifold.LocallyLinearEmbedding(
            n_neighbors=k, n_components=self.m, random_state=self.seed or 0, eigen_solver="dense"
        )
        return {"projection": model.fit_transform(features.astype(np.float64))}


@final
@dataclass(frozen=True)
class Isomap(Processor):
    """Embed by distances along the neighbour graph (Tenenbaum et al. 2000): features -> projection (N, m).

    Takes memory for all N² distances. m: dimensions. k: neighbours, at most N - 1.
    """

    m: int = 2
    k: int = 32

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("projection",)

    def __post_init__(self) -> None:
        positive("isomap", m=self.m, k=self.k)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the coordinates."""
        if len(features) <= self.m + 2:
            return {"projection": np.zeros((len(features), self.m))}
        model = manifold.Isomap(n_neighbors=min(self.k, len(features) - 1), n_components=self.m)
        return {"projection": model.fit_transform(features.astype(np.float64))}


@final
@dataclass(frozen=True)
class Umap(Processor):
    """Embed by UMAP (McInnes et al. 2018): features (N, D) -> projection (N, m) float32; extra `umap`.

    m: dimensions. k: neighbours. spread: least distance of points in the picture. seed: None takes the run's.
    """

    m: int = 2
    k: int = 32
    spread: float = 0.1
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("projection",)

    def __post_init__(self) -> None:
        positive("umap", m=self.m, k=self.k)

    def __call__(self, *, features: Array) -> dict[str, Array]:
        """Return the coordinates."""
        if len(features) <= self.m + 2:
            return {"projection": np.zeros((len(features), self.m), np.float32)}
        model = _umap()(
            n_neighbors=min(self.k, len(features) - 1),
            n_components=self.m,
            min_dist=self.spread,
            random_state=self.seed or 0,
            n_jobs=1,
            init="spectral" if len(features) > 20 else "random",
        )
        return {"projection": np.asarray(model.fit_transform(features), dtype=np.float32)}


@final
@dataclass(frozen=True)
class RandomWalk(Processor):
    """Turn eigenvectors of the symmetric Laplacian into those of the random walk's, which cut the graph.

    embedding (N, m), degree (N,) -> embedding (N, m) with columns of length 1; those of eigenvalue 0 are
    constant on each component (Shi & Malik 2000).
    """

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding",)

    def __call__(self, *, embedding: Array, degree: Array) -> dict[str, Array]:
        """Return the eigenvectors, in the order of the eigenvalues."""
        vectors = _walking(embedding, degree)
        return {"embedding": vectors / np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(float).tiny)}


@final
@dataclass(frozen=True)
class DiffusionMap(Processor):
    """Embed by a random walk: embedding (N, m), eigenvalues (m,), degree (N,) -> embedding (N, m).

    time: steps of the walk (>= 0); 0 gives the random walk's eigenvectors.
    """

    time: float = 1.0

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding",)

    def __post_init__(self) -> None:
        if self.time < 0:
            raise RequestError(f"diffusion-map: time is {self.time}, expected at least 0")

    def __call__(self, *, embedding: Array, eigenvalues: Array, degree: Array) -> dict[str, Array]:
        """Return the coordinates, in the order of the eigenvalues."""
        walk = 1 - eigenvalues
        return {"embedding": _walking(embedding, degree) * np.sign(walk) * np.abs(walk) ** self.time}


def _walking(vectors: Array, degree: Array) -> Array:
    """Return D^-½ u for eigenvectors u; a node without edges is a component of its own."""
    root = np.where(degree > 0, np.sqrt(np.maximum(degree, 0)), 1.0)
    return np.asarray(vectors / root[:, None])


def _umap() -> Any:
    """Return the class of umap-learn, which warns of TensorFlow when it is first imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError:
        raise RequestError("umap needs umap-learn; try `pip install 'backlight[umap]'`") from None
    return UMAP


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the embeddings."""
    return [
        ProcessorSpec("lle", LocallyLinear, cite="roweis2000"),
        ProcessorSpec("isomap", Isomap, cite="tenenbaum2000"),
        ProcessorSpec("umap", Umap, cite="mcinnes2018"),
        ProcessorSpec("random-walk", RandomWalk, cite="shi2000"),
        ProcessorSpec("diffusion-map", DiffusionMap, cite="coifman2006"),
    ]
