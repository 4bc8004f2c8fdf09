"""Further processors against scikit-learn, scipy, or loops written from the formula."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import cdist
from sklearn import cluster, decomposition, manifold, metrics

from backlight.core.errors import RequestError
from backlight.core.pipeline import pipeline
from backlight.plugins.processors.affinity import KnnAffinity
from backlight.plugins.processors.clusterings import Agglomerative, Dbscan, Discretisation, Mixture
from backlight.plugins.processors.descent import DescentKnn, _without_self
from backlight.plugins.processors.focus import Focus
from backlight.plugins.processors.histogram import Histogram
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.laplacian import Laplacian
from backlight.plugins.processors.manifold import DiffusionMap, Isomap, LocallyLinear, RandomWalk, Umap
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.preprocessing import Normalise
from backlight.plugins.processors.quality import Silhouette, SmallestShare, Stability
from backlight.plugins.processors.reduction import Pca, RandomProjection
from backlight.plugins.processors.signs import Absolute, PositivePart, Resize
from backlight.plugins.processors.similarity import MetricKnn, SsimKnn
from backlight.plugins.processors.spectral import Spectral, fix_signs

from .test_strategies import maps as planted_maps

RNG = np.random.default_rng(0)
BLOBS = np.concatenate([RNG.normal(c, 0.05, (30, 4)) for c in np.eye(4)[:3]])
TRUTH = np.repeat([0, 1, 2], 30)


def same(labels, other):
    return metrics.adjusted_rand_score(labels, other) == 1.0


def test_signs():
    maps = RNG.normal(size=(4, 3, 5, 6)).astype(np.float32)
    assert (Absolute()(relevance=maps)["relevance"] == abs(maps)).all()
    assert (PositivePart()(relevance=maps)["relevance"] == maps.clip(0)).all()


def test_resize_keeps_linear_ramps_linear_and_constants_constant():
    ramp = np.broadcast_to(np.arange(8.0), (2, 1, 8, 8)).astype(np.float32)
    resized = Resize(8, 4)(relevance=ramp)["relevance"]
    assert resized.shape == (2, 1, 8, 4)
    assert np.allclose(np.diff(resized[0, 0, 3]), 2)
    assert np.allclose(Resize(5, 11)(relevance=np.full((1, 2, 4, 4), 3.0))["relevance"], 3)


def test_z_scores_have_mean_0_and_deviation_1_but_for_constant_maps():
    maps = RNG.normal(3, 2, (5, 1, 6, 6)).astype(np.float32)
    maps[2] = 4
    scored = Normalise("z-score")(relevance=maps)["relevance"].reshape(5, -1)
    expected = (maps - maps.mean((1, 2, 3), keepdims=True)).reshape(5, -1)
    expected[[0, 1, 3, 4]] /= maps.std((1, 2, 3)).reshape(-1, 1)[[0, 1, 3, 4]]
    assert np.allclose(scored, expected, atol=1e-4)


def test_histograms_equal_numpys_over_shared_bins():
    maps = RNG.normal(size=(6, 2, 7, 7)).astype(np.float32)
    found = Histogram(9, 0.05)(relevance=maps)["features"].reshape(6, 2, 9)
    for c in range(2):
        low, high = np.quantile(maps[:, c], [0.05, 0.95])
        for i in range(6):
            values = np.clip(maps[i, c].ravel(), low, np.nextafter(high, low))
            assert np.allclose(found[i, c], np.histogram(values, 9, (low, high))[0] / 49, atol=0.021)
    assert np.allclose(found.sum(2), 1)


def test_equal_maps_have_equal_histograms():
    found = Histogram(4)(relevance=np.ones((3, 1, 2, 2)))["features"]
    assert (found == found[0]).all() and found[0].sum() == 1


def test_pca_equals_scikit_learns_up_to_sign():
    found = Pca(3)(features=BLOBS)
    model = decomposition.PCA(3)
    assert np.allclose(found["embedding"], fix_signs(model.fit_transform(BLOBS)))
    assert np.allclose(found["variances"], model.explained_variance_)
    assert Pca(3)(features=BLOBS[:1])["embedding"].shape == (1, 1)


def test_random_projection_keeps_distances_about_and_leaves_few_features_alone():
    points = RNG.normal(size=(40, 2000)).astype(np.float32)
    ratio = cdist(*[RandomProjection(800, seed=1)(features=points)["features"]] * 2) / (
        cdist(points, points) + np.eye(40)
    )
    assert ratio[~np.eye(40, dtype=bool)].min() > 0.85 and ratio.max() < 1.15
    assert RandomProjection(5000)(features=points)["features"] is points


@pytest.mark.parametrize("metric", ["cityblock", "chebyshev", "braycurtis", "correlation"])
def test_metric_neighbours_equal_scipys_distances(metric):
    points = RNG.random((70, 6))
    found = MetricKnn(5, metric)(features=points)
    distances = cdist(points, points, metric) + np.diag(np.full(70, np.inf))
    assert np.allclose(found["distances"], np.sort(distances, axis=1)[:, :5], atol=1e-6)
    assert (found["neighbours"] == np.argsort(distances, axis=1)[:, :5]).all()


def slow_ssim(x, y, side, c1, c2):
    values = []
    for r in range(0, x.shape[0] - side + 1, side):
        for c in range(0, x.shape[1] - side + 1, side):
            a, b = x[r : r + side, c : c + side].ravel(), y[r : r + side, c : c + side].ravel()
            covariance = np.cov(a, b, bias=True)
            top = (2 * a.mean() * b.mean() + c1) * (2 * covariance[0, 1] + c2)
            bottom = (a.mean() ** 2 + b.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
            values.append(top / bottom)
    return np.mean(values)


def test_ssim_neighbours_equal_a_loop_over_windows():
    maps = RNG.normal(size=(20, 1, 9, 8)).astype(np.float32)
    found = SsimKnn(4, window=4)(relevance=maps)
    c1, c2 = ((s * np.ptp(maps)) ** 2 for s in (0.01, 0.03))
    slow = np.array(
        [[slow_ssim(a[0].astype(float), b[0].astype(float), 4, c1, c2) for b in maps] for a in maps]
    )
    distances = 1 - slow + np.diag(np.full(20, np.inf))
    assert np.allclose(found["distances"], np.sort(distances, axis=1)[:, :4], atol=1e-5)


def test_ssim_of_equal_maps_is_distance_0():
    assert np.allclose(SsimKnn(3)(relevance=np.ones((5, 1, 8, 8)))["distances"], 0)
    assert SsimKnn(3)(relevance=np.ones((1, 1, 8, 8)))["neighbours"].shape == (1, 0)


@pytest.mark.slow  # pynndescent compiles itself on first use
def test_descent_finds_most_of_the_exact():
    pytest.importorskip("pynndescent")
    points = RNG.normal(size=(3000, 20)).astype(np.float32)
    points[:, :3] *= 4
    found = DescentKnn(10, seed=0)(features=points)
    exact = Knn(10)(features=points)["neighbours"]
    hits = np.mean([len(set(a) & set(b)) for a, b in zip(found["neighbours"], exact, strict=True)]) / 10
    assert hits > 0.95
    assert not (found["neighbours"] == np.arange(3000)[:, None]).any()


@pytest.mark.slow  # umap-learn compiles itself on first use
def test_umap_keeps_clusters_apart_and_honours_its_options():
    pytest.importorskip("umap")

    def draw(**options):
        return Umap(**{"k": 10, "seed": 0} | options)(features=BLOBS)["projection"]

    base = draw()
    assert base.shape == (90, 2)
    distances = cdist(base, base) + np.diag(np.full(90, np.inf))
    np.testing.assert_array_equal(distances.argmin(axis=1) // 30, np.arange(90) // 30)
    np.testing.assert_array_equal(base, draw())
    for options in ({"k": 20}, {"spread": 0.5}, {"seed": 1}):
        assert not np.array_equal(base, draw(**options)), options
    assert draw(m=3).shape == (90, 3)
    assert np.isfinite(Umap(k=50)(features=BLOBS[:12])["projection"]).all()


def test_a_sample_is_dropped_from_its_own_list():
    index = np.array([[0, 1, 2], [2, 1, 0], [0, 1, 1]])
    found = _without_self(index, np.array([[0.0, 1, 2], [0, 0, 3], [1, 2, 3]]), 2)
    assert found["neighbours"].tolist() == [[1, 2], [2, 0], [0, 1]]
    assert found["distances"].tolist() == [[1, 2], [0, 3], [1, 2]]


def test_mutual_and_local_graphs_equal_dense_loops():
    points = RNG.random((40, 3))
    near = Knn(6)(features=points)
    mutual = KnnAffinity("local", mutual=True)(**near)["affinity"].toarray()
    index, distance = near["neighbours"], near["distances"].astype(float)
    expected = np.zeros((40, 40))
    for i in range(40):
        for place, j in enumerate(index[i]):
            if i in index[j]:
                expected[i, j] = np.exp(-(distance[i, place] ** 2) / (distance[i, 3] * distance[j, 3]))
    assert np.allclose(mutual, expected, atol=1e-6)
    assert (mutual == mutual.T).all()


def test_local_scaling_of_duplicates_is_finite():
    near = Knn(4)(features=np.repeat(RNG.random((5, 2)), 4, axis=0))
    assert np.isfinite(KnnAffinity("local")(**near)["affinity"].data).all()


def test_diffusion_coordinates_are_eigenvectors_of_the_random_walk():
    affinity = KnnAffinity()(**Knn(8)(features=BLOBS + RNG.normal(0, 0.3, BLOBS.shape)))["affinity"]
    made = Laplacian()(affinity=affinity)
    pairs = Spectral(5)(**made)
    found = DiffusionMap(time=0)(**pairs, degree=made["degree"])["embedding"]
    walk = affinity.toarray() / affinity.toarray().sum(1, keepdims=True)
    assert np.allclose(walk @ found, found * (1 - pairs["eigenvalues"]), atol=1e-8)
    vectors = RandomWalk()(embedding=pairs["embedding"], degree=made["degree"])["embedding"]
    assert np.allclose(walk @ vectors, vectors * (1 - pairs["eigenvalues"]), atol=1e-8)
    assert np.allclose(np.linalg.norm(vectors, axis=0), 1)
    assert np.ptp(vectors[:, 0]) < 1e-12  # the graph is connected
    later = DiffusionMap(time=3)(**pairs, degree=made["degree"])["embedding"]
    assert np.allclose(later, walk @ walk @ walk @ found, atol=1e-8)


@pytest.mark.parametrize("kind", [LocallyLinear, Isomap])
def test_manifolds_give_coordinates_of_any_size(kind):
    curve = np.stack([np.cos(t := np.linspace(0, 3, 80)), np.sin(t), t], axis=1)
    flat = kind(m=1, k=8)(features=curve)["projection"][:, 0]
    assert abs(np.corrcoef(np.argsort(np.argsort(flat)), np.arange(80))[0, 1]) > 0.99
    assert kind()(features=curve[:3])["projection"].shape == (3, 2)


@pytest.mark.parametrize(
    ("step", "library"),
    [
        (Dbscan(eps=0.4, dimensions=-1), cluster.DBSCAN(eps=0.4)),
        (Agglomerative(3), cluster.AgglomerativeClustering(3)),
    ],
)
def test_clusterings_equal_the_librarys(step, library):
    points = BLOBS[:, :3] / np.linalg.norm(BLOBS[:, :3], axis=1, keepdims=True)
    assert same(step(embedding=points)["labels"], library.fit_predict(points))


@pytest.mark.parametrize("spread", [0.05, 0.2, 0.3])
def test_discretisation_equals_the_librarys(spread):
    random = np.random.default_rng(0)
    units = np.concatenate([random.normal(c, spread, (40, 4)) for c in np.eye(4)[:3]])
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    graph = np.exp(5 * (units @ units.T - 1))
    expected = cluster.spectral_clustering(graph, n_clusters=3, assign_labels="discretize", random_state=0)
    vectors = manifold.spectral_embedding(graph, n_components=3, drop_first=False, random_state=0)
    for seed in range(3):
        assert same(Discretisation(3, seed=seed)(embedding=vectors)["labels"], expected)


@pytest.mark.parametrize("linkage", ["ward", "average", "complete"])
@pytest.mark.parametrize("n", [2, 9, 80])
def test_the_end_of_the_tree_is_scipys(linkage, n):
    points = np.abs(np.random.default_rng(n).normal(size=(n, 3)))
    found = Agglomerative(2, linkage)(embedding=points)
    units = points[:, :2] / np.linalg.norm(points[:, :2], axis=1, keepdims=True)
    whole = hierarchy.linkage(units, linkage)
    parts = min(32, n)
    assert np.allclose(found["tree"][:, 2:], whole[n - parts :, 2:])
    assert found["leaves"][:, 0].sum() == n
    expected = hierarchy.fcluster(whole, parts, "maxclust")
    assert sorted(found["leaves"][:, 0]) == sorted(np.bincount(expected)[1:])
    for step, (a, b) in enumerate(found["tree"][:, :2].astype(int)):
        assert max(a, b) < parts + step  # a merge takes what there is already
    for label in (0, 1):
        assert found["leaves"][found["leaves"][:, 1] == label, 0].sum() == (found["labels"] == label).sum()


@pytest.mark.parametrize("step", [Agglomerative(3), Mixture(3), Discretisation(3), Dbscan(0.5, dimensions=3)])
def test_clusterings_find_directions(step):
    labels = step(embedding=BLOBS)["labels"]
    assert same(labels, TRUTH) and labels.dtype == np.int32
    assert len(step(embedding=BLOBS[:1])["labels"]) == 1
    assert len(step(embedding=np.zeros((0, 4)))["labels"]) == 0


def test_clusterings_without_a_number_need_an_eigengap():
    for step in (Agglomerative(), Mixture(), Discretisation(), Dbscan()):
        with pytest.raises(RequestError, match="eigengap"):
            step(embedding=BLOBS)
        assert len(step(embedding=BLOBS, eigengap=3)["labels"]) == 90


def test_silhouettes_equal_scikit_learns_without_noise():
    labels = TRUTH.copy()
    labels[::7] = -1
    found = Silhouette()(embedding=BLOBS, labels=labels)
    kept = labels >= 0
    assert found["silhouette"] == pytest.approx(metrics.silhouette_score(BLOBS[kept], labels[kept]))
    values = metrics.silhouette_samples(BLOBS[kept], labels[kept])
    assert found["cluster_silhouette"] == pytest.approx([values[labels[kept] == c].mean() for c in range(3)])
    assert Silhouette()(embedding=BLOBS, labels=np.zeros(90, int))["silhouette"] == 0


def test_clear_clusters_are_stable_and_noise_is_not():
    assert Stability(3)(embedding=BLOBS)["stability"] == 1.0
    assert Stability(7)(embedding=RNG.normal(size=(200, 7)))["stability"] < 0.8


def test_smallest_share():
    assert SmallestShare()(labels=np.array([0, 0, 0, 1, -1]))["smallest_share"] == 0.2
    assert SmallestShare()(labels=np.full(3, -1))["smallest_share"] == 0


def test_focus_adds_up_by_loops():
    maps = RNG.normal(size=(12, 2, 10, 8))
    labels = np.arange(12) % 3 - 1
    found = Focus(0.2)(relevance=maps, labels=labels)
    assert found["cluster"].tolist() == [0, 1]
    for c in (0, 1):
        corner = []
        for i in np.flatnonzero(labels == c):
            strength = abs(maps[i]).sum(0)
            inside = sum(strength[r, k] for r in (0, 1, 8, 9) for k in (0, 1, 6, 7))
            corner.append(inside / strength.sum())
        assert found["corner_share"][c] == pytest.approx(np.mean(corner))
    assert (found["border_share"] > found["corner_share"]).all()


@pytest.mark.parametrize("name", ["spray-abs", "spray-full", "spray-histogram", "spray-ssim"])
def test_presets_run_and_find_a_planted_strategy_where_its_place_counts(name):
    relevance, truth = planted_maps(150, 60, seed=2)
    results = pipeline(name).replace({"tsne.iterations": 250})(relevance)
    labels = results.cluster["strategies"]
    hits = (truth & (labels == results["contrast"]["suspicious_cluster"])).sum()
    # Histograms drop places; SSIM weighs a quiet window as much as the marked one.
    assert name in ("spray-histogram", "spray-ssim") or 2 * hits / (truth.sum() + (labels == 1).sum()) > 0.9
    assert np.isfinite(results.score["tau"])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Histogram(1),
        lambda: Resize(0, 3),
        lambda: MetricKnn(3, "nonsense"),
        lambda: SsimKnn(3, 1),
        lambda: Focus(0.6),
        lambda: Dbscan(0),
        lambda: Stability(seeds=1),
        lambda: DiffusionMap(-1),
        lambda: KMeans(-1),
    ],
)
def test_bad_parameters_are_refused(wrong):
    with pytest.raises(RequestError):
        wrong()
