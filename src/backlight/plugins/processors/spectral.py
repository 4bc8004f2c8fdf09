"""Laplacian -> its m smallest eigenpairs, ascending: the spectral embedding (Ng, Jordan & Weiss 2001).

The eigenvectors of eigenvalue 0 are known without a solver: one per connected component, proportional to
√degree on it. They are taken out of the problem by deflation, M = I − L − 3UUᵀ, which moves them to −2, below
all others; the rest are the largest *algebraic* eigenvalues of M. So a Krylov solver never meets the multiple
eigenvalue that it may miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse import csgraph
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from threadpoolctl import threadpool_limits

from backlight.core.errors import BacklightError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._counts import positive

Array = NDArray[Any]

_WIDER = (1, 2, 4, 8)
"""Factors on the size of the Krylov space that are tried in turn."""


@final
@dataclass(frozen=True)
class Spectral(Processor):
    """Embed by the smallest eigenvectors: laplacian, degree -> embedding (N, m), eigenvalues (m,) ascending.

    Columns have length 1 and a positive largest-magnitude component; m is at most N. Up to N = 4m, dense.

    m: number of eigenvectors (>= 1), the trivial one included.
    seed: of the solver's start vector; None takes the run's.
    """

    m: int = 32
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding", "eigenvalues")

    def __post_init__(self) -> None:
        positive("spectral", m=self.m)

    def __call__(self, *, laplacian: sp.csr_array, degree: Array) -> dict[str, Array]:
        """Return the eigenpairs, those of eigenvalue 0 first."""
        n = laplacian.shape[0]
        m = min(self.m, n)
        if m == 0:
            return {"embedding": np.zeros((0, 0)), "eigenvalues": np.zeros(0)}
        null = _null_space(laplacian, degree, m)
        vectors, values = null, np.zeros(null.shape[1])
        rest = m - null.shape[1]
        if rest:
            if n <= 4 * self.m:
                more, found = _dense(laplacian, null, rest)
            else:
                more, found = _krylov(laplacian, null, rest, self.seed or 0)
            vectors, values = np.hstack([vectors, more]), np.concatenate([values, found])
        return {"embedding": fix_signs(vectors), "eigenvalues": np.clip(values, 0.0, 2.0)}


def fix_signs(vectors: Array) -> Array:
    """Return the columns with their largest-magnitude component positive; of equal ones the first decides."""
    magnitude = np.abs(vectors)
    decides = np.argmax(magnitude >= magnitude.max(axis=0) * (1 - 1e-9), axis=0)
    return vectors * np.where(vectors[decides, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _null_space(laplacian: sp.csr_array, degree: Array, m: int) -> Array:
    """Return up to m eigenvectors of eigenvalue 0, (N, <= m): one per component, larger components first."""
    _, component = csgraph.connected_components(laplacian, directed=False)
    size = np.bincount(component)
    chosen = np.argsort(-size, kind="stable")[:m]
    member = component[:, None] == chosen
    weights = np.where(degree > 0, np.sqrt(degree), 1.0)  # a node without edges is a component of its own
    vectors = np.where(member, weights[:, None], 0.0)
    return vectors / np.sqrt(np.square(vectors).sum(axis=0))


def _dense(laplacian: sp.csr_array, null: Array, m: int) -> tuple[Array, Array]:
    """Return the m smallest eigenpairs outside the null space, with LAPACK."""
    n = laplacian.shape[0]
    operator = np.eye(n) - laplacian.toarray() - 3 * null @ null.T
    values, vectors = np.linalg.eigh((operator + operator.T) / 2)
    return vectors[:, ::-1][:, :m], 1 - values[::-1][:m]


def _krylov(laplacian: sp.csr_array, null: Array, m: int, seed: int) -> tuple[Array, Array]:
    """Return the m smallest eigenpairs outside the null space, with ARPACK."""
    n = laplacian.shape[0]
    operator = LinearOperator(
        (n, n), matvec=lambda x: x - laplacian @ x - 3 * (null @ (null.T @ x)), dtype=np.float64
    )
    start = np.random.default_rng(seed).standard_normal(n)
    for wider in _WIDER:  # with one thread: products this small wait for more, and differ in the last bits
        ncv = min(n, wider * max(2 * m + 1, m + 32))
        try:
            with threadpool_limits(1):
                values, vectors = eigsh(operator, k=m, which="LA", v0=start, ncv=ncv)
        except ArpackError as error:  # few different eigenvalues, as of equal maps, exhaust a narrow space
            reason = error
            continue
        order = np.argsort(-values, kind="stable")
        return vectors[:, order], 1 - values[order]
    raise BacklightError(f"spectral: no {m} eigenvectors of {n} samples were found ({reason})")


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the spectral embedding."""
    return [ProcessorSpec("spectral", Spectral, cite="ng2001")]
