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
from backlight.plugins.processors.concepts import Concepts
from backlight.plugins.processors.contrast import Contrast
from backlight.plugins.processors.density import Hdbscan
from backlight.plugins.processors.eigengap import Eigengap
from backlight.plugins.processors.histogram import Histogram
from backlight.plugins.processors.homophily import Homophily
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.laplacian import Laplacian
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.preprocessing import ChannelSum, Flatten, Normalise, Pool
from backlight.plugins.processors.separability import Tau
from backlight.plugins.processors.signs import Absolute
from backlight.plugins.processors.similarity import SsimKnn
from backlight.plugins.processors.spectral import Spectral
from backlight.plugins.processors.strategies import Strategies
from backlight.plugins.processors.suspicion import Suspicion
from backlight.plugins.processors.tsne import TSne


def spray(
    neighbours: int = 32,
    eigenvalues: int = 32,
    grid: int = 32,
    perplexity: float = 30.0,
    picture: bool = True,
) -> Pipeline:
    """Find the odd strategy of a class by spectral clustering of its relevance maps, and say how odd it is.

    neighbours: k of the neighbour graph.
    eigenvalues: dimensions of the spectral embedding.
    grid: maps are averaged over at most grid x grid cells.
    perplexity: of the t-SNE picture. picture: whether it is drawn, which takes long for many thousand maps.
    """
    front = (*_maps(grid), Step("flatten", Flatten()), Step("knn", Knn(neighbours)))
    return Pipeline("spray", (*front, *_analysis(eigenvalues, perplexity, picture)))


def spray_abs(
    neighbours: int = 32,
    eigenvalues: int = 32,
    grid: int = 32,
    perplexity: float = 30.0,
    picture: bool = True,
) -> Pipeline:
    """As spray, without signs: where a class looks, for or against. Parameters as spray's."""
    maps = (Step("channel-sum", ChannelSum()), Step("abs", Absolute()), *_maps(grid)[1:])
    front = (*maps, Step("flatten", Flatten()), Step("knn", Knn(neighbours)))
    return Pipeline("spray-abs", (*front, *_analysis(eigenvalues, perplexity, picture)))


def spray_full(
    neighbours: int = 32, eigenvalues: int = 32, perplexity: float = 30.0, picture: bool = True
) -> Pipeline:
    """As spray, on every channel of every pixel, for artefacts of colour or of single pixels."""
    front = (Step("normalise", Normalise()), Step("flatten", Flatten()), Step("knn", Knn(neighbours)))
    return Pipeline("spray-full", (*front, *_analysis(eigenvalues, perplexity, picture)))


def spray_histogram(
    neighbours: int = 32,
    eigenvalues: int = 32,
    bins: int = 64,
    perplexity: float = 30.0,
    picture: bool = True,
) -> Pipeline:
    """As spray, on histograms of relevance: strategies of different strength and spread, wherever they lie.

    bins: of the histogram, shared by all maps.
    """
    front = (
        Step("channel-sum", ChannelSum()),
        Step("normalise", Normalise()),
        Step("histogram", Histogram(bins)),
        Step("knn", Knn(neighbours)),
    )
    return Pipeline("spray-histogram", (*front, *_analysis(eigenvalues, perplexity, picture)))


def spray_ssim(
    neighbours: int = 32,
    eigenvalues: int = 32,
    grid: int = 32,
    window: int = 4,
    perplexity: float = 30.0,
    picture: bool = True,
) -> Pipeline:
    """As spray, with neighbours by structural similarity; for classes of a few thousand samples.

    window: side of the windows that are compared.
    """
    front = (*_maps(grid), Step("knn", SsimKnn(neighbours, window)), Step("flatten", Flatten()))
    return Pipeline("spray-ssim", (*front, *_analysis(eigenvalues, perplexity, picture)))


def spray_latent(
    neighbours: int = 32,
    eigenvalues: int = 32,
    perplexity: float = 30.0,
    picture: bool = True,
) -> Pipeline:
    """As spray, on the relevance of a layer's channels: artefacts that lie everywhere in a picture.

    Its input is the relevance of a layer, (N, C) or (N, C, H, W): early ones show what is in a picture, later
    ones what the decision makes of it. Shares of channels are compared by Hellinger's distance.
    """
    maps = (
        Step("concepts", Concepts()),
        Step("normalise", Normalise("hellinger")),
        Step("flatten", Flatten()),
    )
    front = (*maps, Step("knn", Knn(neighbours)))
    return Pipeline("spray-latent", (*front, *_analysis(eigenvalues, perplexity, picture)))


def _maps(grid: int) -> tuple[Step, ...]:
    """Return the steps from relevance to normalised maps of one channel."""
    return (Step("channel-sum", ChannelSum()), Step("pool", Pool(grid)), Step("normalise", Normalise()))


def _analysis(eigenvalues: int, perplexity: float, picture: bool) -> tuple[Step, ...]:
    """Return the steps from neighbours to scores."""
    scored = {"labels": "strategies.labels"}
    return (
        Step("knn-affinity", KnnAffinity()),
        Step("laplacian", Laplacian()),
        Step("spectral", Spectral(eigenvalues)),
        Step("eigengap", Eigengap()),
        *([Step("tsne", TSne(perplexity))] if picture else []),
        Step("strategies", Strategies()),
        Step("kmeans", KMeans()),
        Step("hdbscan", Hdbscan()),
        Step("tau", Tau(), scored),
        Step("contrast", Contrast(), scored),
        Step("homophily", Homophily(), scored),
        Step("suspicion", Suspicion()),
        Step("composition", Composition(), scored),
    )


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the presets."""
    presets = {
        "spray": spray,
        "spray-abs": spray_abs,
        "spray-full": spray_full,
        "spray-histogram": spray_histogram,
        "spray-ssim": spray_ssim,
        "spray-latent": spray_latent,
    }
    return [ProcessorSpec(name, factory, cite="lapuschkin2019") for name, factory in presets.items()]
