"""Spectral relevance analysis (Lapuschkin et al. 2019; Anders et al. 2022): a model's strategies for a class.

Every class is split in two, its odd strategy and the rest (strategies.py), and the scores are those of this
split: tau is comparable only between equal numbers of clusters. k-means and HDBSCAN at the eigengap's scale
show the rest of the structure.
"""

from __future__ import annotations

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.pipeline import Pipeline, Step
from backlight.plugins.processors.affinity import KnnAffinity
from backlight.plugins.processors.composition import Composition
from backlight.plugins.processors.contrast import Contrast
from backlight.plugins.processors.density import Hdbscan
from backlight.plugins.processors.eigengap import Eigengap
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.laplacian import Laplacian
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.preprocessing import ChannelSum, Flatten, Normalise, Pool
from backlight.plugins.processors.separability import Tau
from backlight.plugins.processors.spectral import Spectral
from backlight.plugins.processors.strategies import Strategies
from backlight.plugins.processors.tsne import TSne


def spray(neighbours: int = 32, eigenvalues: int = 32, grid: int = 32, perplexity: float = 30.0) -> Pipeline:
    """Find the odd strategy of a class by spectral clustering of its relevance maps, and say how odd it is.

    neighbours: k of the neighbour graph.
    eigenvalues: dimensions of the spectral embedding.
    grid: maps are averaged over at most grid x grid cells.
    perplexity: of the t-SNE picture.
    """
    scored = {"labels": "strategies.labels"}
    return Pipeline(
        "spray",
        (
            Step("channel-sum", ChannelSum()),
            Step("pool", Pool(grid)),
            Step("normalise", Normalise()),
            Step("flatten", Flatten()),
            Step("knn", Knn(neighbours)),
            Step("knn-affinity", KnnAffinity()),
            Step("laplacian", Laplacian()),
            Step("spectral", Spectral(eigenvalues)),
            Step("eigengap", Eigengap()),
            Step("tsne", TSne(perplexity)),
            Step("strategies", Strategies()),
            Step("kmeans", KMeans()),
            Step("hdbscan", Hdbscan()),
            Step("tau", Tau(), scored),
            Step("contrast", Contrast(), scored),
            Step("composition", Composition(), scored),
        ),
    )


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the preset."""
    return [ProcessorSpec("spray", spray, cite="lapuschkin2019")]
