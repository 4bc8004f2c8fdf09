"""Pipelines: binding, validation, named results, cutting, caching, plain data, foreign steps."""

import json
import pickle
import tomllib
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, final

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.decomposition import PCA

import backlight
from backlight.core.errors import RequestError
from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.core.pipelines.cache import Cache
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.neighbours import Knn
from backlight.plugins.processors.preprocessing import ChannelSum, Flatten, Normalise, Pool

MAPS = np.random.default_rng(0).random((40, 3, 8, 8)).astype(np.float32)
FRONT = (Step("channel-sum", ChannelSum()), Step("flatten", Flatten()))
FLAT = {"embedding": "flatten.features"}
COMPUTED: list[str] = []


@final
@dataclass(frozen=True)
class Scale(Processor):
    """Multiply features, leaving a trace of having run."""

    factor: float = 2.0
    seed: int | None = None

    stage: ClassVar[Stage] = "embedding"
    yields: ClassVar[tuple[str, ...]] = ("embedding", "seen")

    def __call__(self, *, features: Any, train: Any = None) -> dict[str, Any]:
        COMPUTED.append("scale")
        return {"embedding": features * self.factor, "seen": (self.seed, train is not None)}


@final
@dataclass(frozen=True)
class Liar(Processor):
    stage: ClassVar[Stage] = "score"
    yields: ClassVar[tuple[str, ...]] = ("truth",)

    def __call__(self, *, embedding: Any) -> dict[str, Any]:
        return {"lie": 1}


SCALED = (*FRONT, Step("a", Scale()))


def spray(**options):
    return pipeline("spray", until="kmeans", **options)


def test_public_name():
    assert backlight.pipeline is pipeline


def test_ports_bind_to_the_most_recent_earlier_output():
    steps = Pipeline("p", (*FRONT, Step("a", Scale(2.0)), Step("b", Scale(3.0)), Step("kmeans", KMeans(2))))
    bound = steps.bindings()
    assert bound["kmeans"] == {"embedding": "b.embedding"}
    assert bound["channel-sum"] == {"relevance": "relevance"}
    assert bound["flatten"] == {"relevance": "channel-sum.relevance"}
    assert bound["a"] == {"features": "flatten.features", "train": "train"}


def test_explicit_inputs_override_names():
    steps = Pipeline(
        "p",
        (
            *FRONT,
            Step("a", Scale(2.0)),
            Step("b", Scale(3.0)),
            Step("kmeans", KMeans(2), {"embedding": "a.embedding"}),
        ),
    )
    assert steps.bindings()["kmeans"] == {"embedding": "a.embedding"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pipeline("p", (Step("k", KMeans(2)),)), "port 'embedding': no earlier step yields it"),
        (lambda: Step("k", KMeans(2), {"embeding": "a.b"}), "unknown port 'embeding'; did you mean"),
        (
            lambda: Pipeline("p", (*SCALED, Step("k", KMeans(2), {"embedding": "a.embeddin"}))),
            "step 'k', port 'embedding': unknown source 'a.embeddin'; did you mean 'a.embedding'",
        ),
        (
            lambda: Pipeline("p", (Step("a", Scale(), {"features": "b.embedding"}), Step("b", Scale()))),
            "step 'a', port 'features': b.embedding comes later; expected every step below all that feed it",
        ),
        (lambda: Step("s", pipeline("spray")), "step 's' is a whole pipeline; expected its steps one by one"),
        (lambda: Pipeline("p", (*FRONT, *FRONT)), "2 steps called 'channel-sum'"),
        (lambda: Pipeline("p", (Step("train", ChannelSum()),)), "'train' is the name of an input"),
        (lambda: Step("Not Kebab", ChannelSum()), "'Not Kebab' is not kebab-case"),
        (lambda: Step("a", 3), "3 is no processor"),
        (lambda: Step("knn", Knn(2.5)), "step 'knn': k is 2.5, expected int"),
        (lambda: Step("a", Scale("2")), "step 'a': factor is '2', expected float"),
        (lambda: Step("a", Scale(seed="x")), "step 'a': seed is 'x', expected int | None"),
        (lambda: pipeline("spary"), "unknown processor 'spary'; did you mean 'spray'"),
        (lambda: pipeline("knn"), "'knn' is a processor of stage 'neighbours', not a pipeline"),
        (lambda: pipeline("spray", neighbour=3), "unknown parameter 'neighbour'; did you mean 'neighbours'"),
        (lambda: pipeline("spray", neighbours="3"), "neighbours is '3', expected int"),
        (lambda: pipeline("spray", until="spectrl"), "unknown step 'spectrl'; did you mean 'spectral'"),
        (lambda: spray().replace({"kn.k": 3}), "unknown step 'kn'; did you mean 'knn'"),
        (lambda: spray().replace({"knn.kk": 3}), "unknown parameter 'kk'"),
        (lambda: spray().replace({"knn.k": True}), "k is True, expected int"),
        (lambda: spray().replace({"knn.metric": "cosin"}), "metric is 'cosin', expected 'euclidean' or"),
        (lambda: spray()(), "step 'channel-sum' needs 'relevance', which the pipeline was not given"),
        (lambda: Pipeline("p", (*SCALED, Step("l", Liar())))(MAPS), r"step 'l' returned \['lie'\]"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make, message):
    with pytest.raises(RequestError, match=message):
        make()


def test_results_by_name():
    results = pipeline("spray").replace({"tsne.iterations": 250})(MAPS, seed=3)
    assert results.cluster["hdbscan"].shape == (40,)
    assert results["spectral"]["eigenvalues"].shape == (32,)
    assert "flatten" not in results  # big maps are let go
    assert results.computed[0] == "channel-sum"
    with pytest.raises(KeyError, match="did you mean 'spectral'"):
        results["spectrl"]
    assert repr(results).startswith("Results(knn, ")


def test_until_runs_only_what_that_step_needs():
    steps = pipeline("spray", until="spectral")
    assert [s.name for s in steps.steps] == [
        "channel-sum", "pool", "normalise", "flatten", "knn", "knn-affinity", "laplacian", "spectral",
    ]  # fmt: skip
    features = pipeline("spray", until="flatten")(MAPS)["flatten"]["features"]
    assert features.shape == (40, 64)


def test_the_runs_seed_fills_open_seeds_only():
    steps = Pipeline("p", (*FRONT, Step("open", Scale()), Step("fixed", Scale(seed=7))))
    results = steps(MAPS, seed=5, train=np.ones(40, bool))
    assert results["open"]["seen"] == (5, True)
    assert results["fixed"]["seen"] == (7, True)
    assert steps(MAPS)["open"]["seen"] == (0, False)


def test_inputs_are_left_as_they_are():
    before = MAPS.copy()
    pipeline("spray", until="tau")(MAPS)
    np.testing.assert_array_equal(MAPS, before)


def test_frozen_hashable_picklable():
    assert pipeline("spray") == pipeline("spray")
    assert hash(pipeline("spray")) == hash(pipeline("spray"))
    assert pipeline("spray") != pipeline("spray", neighbours=3)
    assert pickle.loads(pickle.dumps(pipeline("spray"))) == pipeline("spray")


def test_plain_data_round_trip():
    steps = pipeline("spray", neighbours=5).replace({"tau.seed": 4})
    document = json.loads(json.dumps(steps.to_dict()))
    assert Pipeline.from_dict(document) == steps
    assert document["steps"][4] == {
        "name": "knn",
        "processor": "knn",
        "parameters": {"k": 5, "metric": "euclidean"},
    }


def test_a_pipeline_in_toml():
    document = tomllib.loads("""
        name = "short"
        [[steps]]
        processor = "flatten"
        [[steps]]
        name = "near"
        processor = "knn"
        parameters = { k = 3, metric = "cosine" }
        inputs = { features = "flatten.features" }
    """)
    steps = Pipeline.from_dict(document)
    assert steps == Pipeline(
        "short",
        (Step("flatten", Flatten()), Step("near", Knn(3, "cosine"), {"features": "flatten.features"})),
    )


def test_processors_that_are_no_plugins_are_written_by_their_class():
    steps = Pipeline("p", (*FRONT, Step("a", Scale(3.0))))
    document = steps.to_dict()
    assert document["steps"][2]["processor"].endswith("test_pipeline:Scale")
    assert Pipeline.from_dict(document) == steps


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "needs the key 'steps'"),
        ({"steps": ["knn"]}, "needs the key 'steps'"),
        ({"steps": [{"name": "a"}]}, "'a' lacks the key 'processor'"),
        ({"steps": [{"processor": "pool"}], "nam": "p"}, "unknown key 'nam'; did you mean 'name'"),
        ({"steps": [{"processor": "pool", "parameters": 3}]}, "parameters is 3, expected a table"),
        ({"steps": [{"processor": "pool", "inputs": ["relevance"]}]}, "inputs is .* expected a table"),
        ({"steps": [{"processor": "pool", "params": {}}]}, "unknown key 'params'; did you mean 'parameters'"),
        (
            {"steps": [{"processor": "pool", "parameters": {"gird": 3}}]},
            "unknown parameter 'gird'; did you mean 'grid'",
        ),
        ({"steps": [{"processor": "pool", "parameters": {"grid": "3"}}]}, "grid is '3', expected int"),
        ({"steps": [{"processor": "pol"}]}, "did you mean 'pool'"),
        ({"steps": [{"processor": "nowhere.at.all:Thing"}]}, "cannot be imported"),
        ({"steps": [{"processor": "os:getcwd"}]}, "'os:getcwd' is no Processor, scikit-learn estimator or"),
        (
            {"steps": [{"processor": "sklearn.cluster:Birch", "parameters": {"k": 3}}]},
            "unknown parameter 'k'",
        ),
        (
            {"steps": [{"processor": "numpy:fabs", "parameters": {"k": 3}}]},
            "'numpy:fabs' is a function, which",
        ),
    ],
)
def test_bad_plain_data_is_named(document, message):
    with pytest.raises(RequestError, match=message):
        Pipeline.from_dict(document)


def test_same_run_twice_computes_nothing(tmp_path):
    cache = Cache(tmp_path)
    first = spray()(MAPS, cache=cache)
    again = spray()(MAPS, cache=Cache(tmp_path))
    assert again.computed == ()
    for step in first:
        for name, value in first[step].items():
            if isinstance(value, np.ndarray):
                assert again[step][name].tobytes() == value.tobytes()


def test_a_changed_parameter_recomputes_what_follows_it(tmp_path):
    cache = Cache(tmp_path)
    spray()(MAPS, cache=cache)
    assert spray().replace({"kmeans.starts": 3})(MAPS, cache=cache).computed == ("kmeans",)
    changed = spray(eigenvalues=5)(MAPS, cache=cache).computed
    assert changed == ("spectral", "eigengap", "kmeans")
    assert "knn" in spray(grid=4)(MAPS, cache=cache).computed


def test_every_parameter_of_every_step_is_in_the_key(tmp_path):
    """Change each field of each step to another value: at least that step must run again."""
    cache = Cache(tmp_path)
    base = pipeline("spray").replace({"tsne.iterations": 250})
    base(MAPS, cache=cache)
    other = {int: lambda v: v + 1, float: lambda v: v * 0.9, bool: lambda v: not v, type(None): lambda v: 11}
    words = {
        "normalise.by": "l2",
        "knn.metric": "cosine",
        "knn-affinity.weights": "gaussian",
        "pool.by": "max",
    }
    tried = 0
    for step in base.steps:
        for name, value in step.processor.parameters().items():
            key = f"{step.name}.{name}"
            changed = words.get(key) or other[type(value)](value)
            if key in ("pool.grid", "kmeans.k", "kmeans.dimensions", "hdbscan.smallest"):
                changed = {"pool.grid": 5, "kmeans.k": 3, "kmeans.dimensions": 2, "hdbscan.smallest": 4}[key]
            keys = base.replace({key: changed})
            assert step.name in keys.until(step.name)(MAPS, cache=cache).computed, key
            tried += 1
    assert tried > 20


def test_a_little_other_data_recomputes_everything(tmp_path):
    cache = Cache(tmp_path)
    steps = spray()
    steps(MAPS, cache=cache)
    changed = MAPS.copy()
    changed[17, 1, 2, 3] *= 1.001
    assert steps(changed, cache=cache).computed == tuple(s.name for s in steps.steps)


def test_another_seed_recomputes_what_is_random(tmp_path):
    cache = Cache(tmp_path)
    spray()(MAPS, cache=cache)
    assert spray()(MAPS, seed=1, cache=cache).computed == ("spectral", "eigengap", "kmeans")


def test_changed_code_recomputes(tmp_path, monkeypatch):
    cache = Cache(tmp_path)
    spray()(MAPS, cache=cache)
    monkeypatch.setattr("backlight.plugins.processors.kmeans.unit_rows", lambda points: points * 1.0)
    assert spray()(MAPS, cache=cache).computed == ("kmeans",)


def test_cached_steps_upstream_are_not_even_read(tmp_path):
    cache = Cache(tmp_path)
    steps = Pipeline("p", (*FRONT, Step("a", Scale()), Step("k", KMeans(2))))
    steps(MAPS, cache=cache)
    COMPUTED.clear()
    assert steps(MAPS, cache=cache).computed == ()
    assert not COMPUTED


def test_a_result_that_cannot_be_stored_is_computed_again(tmp_path):
    @final
    @dataclass(frozen=True)
    class Odd(Processor):
        stage: ClassVar[Stage] = "score"
        yields: ClassVar[tuple[str, ...]] = ("odd",)

        def __call__(self, *, relevance: Any) -> dict[str, Any]:
            return {"odd": object()}

    steps, cache = Pipeline("p", (Step("odd", Odd()),)), Cache(tmp_path)
    assert steps(MAPS, cache=cache).computed == steps(MAPS, cache=cache).computed == ("odd",)


def test_estimators_and_functions_are_steps(tmp_path):
    steps = Pipeline(
        "p",
        (
            Step("abs", np.abs),
            Step("normalise", Normalise()),
            Step("flatten", Flatten()),
            Step("pca", PCA(4)),
            Step("ward", AgglomerativeClustering(3)),
            Step("lloyd", SklearnKMeans(2, n_init=1)),
        ),
    )
    results = steps(-MAPS, cache=Cache(tmp_path))
    features = Pipeline("q", (Step("normalise", Normalise()), Step("flatten", Flatten())))(MAPS)["flatten"][
        "features"
    ]
    np.testing.assert_allclose(
        results.embedding["pca"], PCA(4, random_state=0).fit_transform(features), atol=1e-6
    )
    assert set(results.cluster) == {"ward", "lloyd"}
    assert steps(-MAPS, cache=Cache(tmp_path)).computed == ()


def halved(relevance):
    return relevance / 2


def test_estimators_and_functions_are_written_by_where_they_are_imported_from():
    steps = Pipeline(
        "p",
        (
            Step("half", halved),
            Step("abs", np.abs),
            *FRONT,
            Step("pca", PCA(4, random_state=2)),
            Step("ward", AgglomerativeClustering(3, linkage="average")),
        ),
    )
    document = json.loads(json.dumps(steps.to_dict()))
    parameters = {step["name"]: step["parameters"] for step in document["steps"]}
    assert parameters["pca"] == {"n_components": 4, "random_state": 2}
    assert parameters["ward"] == {"n_clusters": 3, "linkage": "average"}
    again = Pipeline.from_dict(document)
    assert again.to_dict() == steps.to_dict()
    np.testing.assert_array_equal(again(MAPS).cluster["ward"], steps(MAPS).cluster["ward"])
    fewer = again.replace({"ward.n_clusters": 2})
    assert set(fewer(MAPS).cluster["ward"]) == {0, 1} and set(again(MAPS).cluster["ward"]) == {0, 1, 2}
    with pytest.raises(RequestError, match="step 'ward' has unknown parameter 'n_cluster'; did you mean"):
        again.replace({"ward.n_cluster": 2})


@pytest.mark.parametrize("thing", [lambda relevance: relevance, partial(halved), PCA(svd_solver=object())])
def test_what_cannot_be_written_down_says_why(thing):
    with pytest.raises(RequestError, match="step 'x' can't be written down: "):
        Pipeline("p", (*FRONT, Step("x", thing))).to_dict()


def test_an_estimators_own_complaint_is_told_by_its_name():
    with pytest.raises(RequestError, match=r"AgglomerativeClustering: .*minimum of 2"):
        Pipeline("p", (*FRONT, Step("ward", AgglomerativeClustering(3), FLAT)))(MAPS[:1])


def test_foreign_estimators_are_in_the_key(tmp_path):
    cache = Cache(tmp_path)

    def run(components):
        return Pipeline("p", (*FRONT, Step("pca", PCA(components))))(MAPS, cache=cache).computed

    assert "pca" in run(3)
    assert run(3) == ()
    assert "pca" in run(4)


def test_pool_is_the_pool_of_the_preset():
    assert pipeline("spray", grid=7).step("pool").processor == Pool(7)
