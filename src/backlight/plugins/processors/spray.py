"""Spectral relevance analysis (Lapuschkin et al. 2019; Anders et al. 2022): which strategies does a model have for a class?"""

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
from backlight.plugins.processors.tsne import TSne


def spray(neighbours: int = 32, eigenvalues: int = 32, grid: int = 32, perplexity: float = 30.0) -> Pipeline:
    """Cluster relevance maps spectrally, measure how separable the clusters are, and name the one to look at.

    The scores are those of `kmeans-02`, the normalised cut in two: tau is comparable between classes only for equal
    numbers of clusters. neighbours: k of the graph. eigenvalues: dimensions of the spectral embedding. grid: maps are
    averaged to at most grid x grid cells. perplexity: of the t-SNE picture.
    """
    scored = {"labels": "kmeans-02.labels"}
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
            Step("kmeans-02", KMeans(2)),
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
