"""Analysing a project: the file, identical bytes for any workers, resuming, earlier results kept safe."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

import h5py
import numpy as np
import pytest
import yaml

from backlight.core.analysis import analyze, ranking
from backlight.core.errors import BacklightError, RequestError
from backlight.core.pipeline import Pipeline, Step, pipeline
from backlight.core.pipelines.cache import Cache
from backlight.core.processor import Processor
from backlight.core.project import Label, LabelMap, open_project, write_project
from backlight.plugins.processors.preprocessing import Flatten

NAMES = ("cat", "dog", "fish", "owl")
SIDE, PER_CLASS, ODD = 8, 40, 1
QUICK = pipeline("spray", neighbours=8, eigenvalues=6).replace({"tsne.iterations": 250})


def write_run(root, *, extra=None, prediction=True, word_net_ids=False):
    """Write a run of four classes; half of the dogs have a corner. Its indices are a permuted subset."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(NAMES)), PER_CLASS)
    odd = (labels == ODD) & (np.arange(len(labels)) % 2 == 0)
    relevance = np.abs(rng.normal(0, 0.02, (len(labels), 3, SIDE, SIDE))).astype(np.float32)
    relevance[:, :, 3:6, 3:6] += rng.uniform(0.5, 1, (len(labels), 1, 1, 1))
    relevance[odd, :, :2, :2] += rng.uniform(0.8, 1, (odd.sum(), 1, 1, 1))
    order = rng.permutation(len(labels))[:-8]
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "data.h5", "w") as file:
        file["data"] = np.zeros((len(labels), 3, SIDE, SIDE), np.uint8)
        file["label"] = labels.astype(np.uint16)
    with h5py.File(root / "attribution.h5", "w") as file:
        file["attribution"], file["label"] = relevance[order], labels[order].astype(np.uint16)
        file["index"] = order.astype(np.uint32)
        if prediction:
            predicted = np.where(np.arange(len(labels)) % 10 == 3, (labels + 1) % len(NAMES), labels)
            file["prediction"] = np.eye(len(NAMES), dtype=np.float32)[predicted][order]
            file["train"] = (np.arange(len(labels)) % 4 > 0)[order]
    ids = [f"n{k:08d}" if word_net_ids else None for k in range(len(NAMES))]
    map_ = LabelMap([Label(k, name, wid) for k, (name, wid) in enumerate(zip(NAMES, ids, strict=True))])
    write_project(
        root, name="pets", model="cnn", dataset="synthetic", labels=map_, method="epsilon-plus",
        strategy="true_label", image_size=(SIDE, SIDE), extra=extra,
    )  # fmt: skip
    return odd


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a run that was analysed, what came back, and which samples are odd."""
    root = tmp_path_factory.mktemp("finished")
    odd = write_run(root, extra={"weights": "abc"})
    return root, analyze(root, QUICK, seed=1), odd


def test_the_odd_class_ranks_first_and_its_cluster_is_isolated(finished):
    root, done, odd = finished
    assert done.findings[0].name == "dog"
    with open_project(root) as project:
        category = project.analysis("spray").category("dog")
        found = category.clusters("strategies") == done.findings[0].suspicious_cluster
        np.testing.assert_array_equal(found, odd[category.index])
    assert done.findings[0].suspicious_size == found.sum()


def test_findings_are_complete_and_sorted(finished):
    _, done, _ = finished
    assert {row.name for row in done.findings} == set(NAMES)
    order = [row.suspicion for row in done.findings]
    assert order == sorted(order, reverse=True)
    for row in done.findings:
        assert row.ranked_by == "suspicion"
        assert row.suspicion == pytest.approx(row.contrast * row.homophily)
        assert row.size > 30
        assert row.clusters == 2
        assert 0 < row.baseline < row.tau
        assert row.eigengap >= 1
        assert 0.5 < row.suspicious_purity <= 1
        assert row.left_out == 0
    assert done.method == "spray"
    assert done.reused == 0


def test_layout_of_the_file(finished):
    _, done, _ = finished
    labels = np.repeat(np.arange(len(NAMES)), PER_CLASS)
    with h5py.File(done.path) as file:
        assert json.loads(file.attrs["pipeline"]) == QUICK.to_dict()
        assert file.attrs["seed"] == 1
        assert file.attrs["by"] == "label"
        assert file.attrs["backlight"]
        assert sorted(file) == [f"{k:08d}" for k in range(len(NAMES))]
        contents = []
        for number, group in enumerate(file.values()):
            contents.append(sorted(_paths(group)))
            index = group["index"]
            assert index.dtype == np.uint32
            assert (labels[index[:]] == number).all()
            assert group.attrs["suspicious_clustering"] == "strategies"
            assert group["cluster/hdbscan"].dtype == np.int32
            clusters = int(group["cluster/hdbscan"][:].max()) + 1
            assert group["cluster/hdbscan"].attrs["persistence"].shape == (clusters,)
            assert group["cluster/kmeans"].attrs["embedding"] == "spectral"
            assert group["cluster/strategies"].attrs["k"] == 2
            assert group["score/tau"].shape == ()
            assert group["score/tau"].attrs["clustering"] == "strategies"
            assert group["score/tau"].attrs["cluster_count"] == 2
            assert group["score/eigengap"].dtype.kind == "i"
            assert group.attrs["ranked_by"] == "suspicion"
            assert group.attrs["suspicion"] == group["score/suspicion"][()]
            for name in (
                "cluster-tau",
                "cluster-homophily",
                "purity",
                "cluster-size",
                "train-share",
                "cluster-contrast",
            ):
                assert group[f"score/{name}"].shape == (2,)
                assert group[f"score/{name}"].attrs["cluster"].tolist() == [0, 1]
                assert group[f"score/{name}"].attrs["clustering"] == "strategies"
            assert group["score/cluster-size"][:].sum() == len(index)
        assert all(content == contents[0] for content in contents)  # the same names everywhere


def _paths(group):
    found = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def test_spectral_columns_are_stored_by_descending_eigenvalue(finished):
    root, done, _ = finished
    with open_project(root) as project, h5py.File(done.path) as file:
        category = project.analysis("spray").category("cat")
        results = QUICK(project.attributions.relevances(category.index), seed=1)
        stored = file[category.id]["embedding/spectral"]
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored[:], results["spectral"]["embedding"][:, ::-1].astype(np.float32))
        for name in ("eigenvalue", "laplacian_eigenvalue"):
            np.testing.assert_array_equal(stored.attrs[name], results["spectral"]["eigenvalues"][::-1])
        assert (np.diff(stored.attrs["eigenvalue"]) <= 0).all()
        assert stored.attrs["order"] == "descending"
        assert file[category.id]["embedding/tsne"].attrs["computed_on"] == "spectral"


def test_purity_is_that_of_the_recorded_predictions(finished):
    with open_project(finished[0]) as project:
        category = project.analysis("spray").category("dog")
        predicted = project.attributions.predictions(category.index).argmax(axis=1)
        for cluster, purity in zip([0, 1], category.scores["purity"], strict=True):
            mine = predicted[category.clusters("strategies") == cluster]
            assert purity == pytest.approx(np.bincount(mine).max() / len(mine))


def test_everything_else_in_the_project_file_stays(finished):
    document = yaml.safe_load((finished[0] / "project.yaml").read_text())
    assert document["backlight"] == {"weights": "abc"}
    assert document["project"]["name"] == "pets"
    assert document["project"]["analyses"] == [{"analysis_method": "spray", "sources": ["analysis.h5"]}]


def test_ranking_can_be_read_back(finished):
    root, done, _ = finished
    with open_project(root) as project:
        assert ranking(done.path, project.labels) == done.findings


def test_any_number_of_workers_anywhere_gives_the_same_bytes(finished, tmp_path, dask):
    content = finished[1].path.read_bytes()
    for name, where in (("processes", {"workers": 2}), ("dask", {"cluster": dask})):
        write_run(tmp_path / name)
        assert analyze(tmp_path / name, QUICK, seed=1, **where).path.read_bytes() == content


def cached(run):
    return {path.name for path in (run / "cache").rglob("*.npz")}


@pytest.mark.parametrize("name", ["processes", "dask"])
def test_branches_side_by_side_give_the_same_bytes(tmp_path, dask, name):
    where = {"processes": {"workers": 8}, "dask": {"cluster": dask}}[name]
    write_run(tmp_path / "one")
    write_run(tmp_path / name)
    one = analyze(tmp_path / "one", QUICK, classes=["dog"], workers=1)
    many = analyze(tmp_path / name, QUICK, classes=["dog"], **where)
    assert many.path.read_bytes() == one.path.read_bytes()
    assert cached(tmp_path / name) == cached(tmp_path / "one")
    assert many.computed == one.computed == one.steps  # though small ones ran once a branch
    again = analyze(tmp_path / name, QUICK, classes=["dog"], workers=1)
    assert (again.computed, again.reused) == (0, 1)


@final
@dataclass(frozen=True)
class Meet(Processor):
    """Wait until another step has come, too; they can only if they run at the same time."""

    folder: str
    mine: str
    other: str

    stage = "clustering"
    yields = ("labels",)

    def __call__(self, *, features):
        (Path(self.folder) / self.mine).touch()
        end = time.monotonic() + 60
        while not (Path(self.folder) / self.other).exists():
            assert time.monotonic() < end, "the other step does not run at the same time"
            time.sleep(0.01)
        return {"labels": np.zeros(len(features), np.int32)}


def test_branches_of_one_class_run_at_the_same_time(run, tmp_path):
    steps = (Meet(str(tmp_path), a, b) for a, b in (("left", "right"), ("right", "left")))
    meeting = Pipeline("meeting", (Step("flatten", Flatten()), *(Step(s.mine, s) for s in steps)))
    done = analyze(run, meeting, classes=["cat"], workers=2)
    assert [row.name for row in done.findings] == ["cat"]
    assert (done.reused, done.computed) == (0, 3)


def test_another_seed_gives_other_bytes(finished, tmp_path):
    write_run(tmp_path)
    assert analyze(tmp_path, QUICK, seed=2).path.read_bytes() != finished[1].path.read_bytes()


def test_the_same_command_twice_recomputes_nothing(run):
    first = analyze(run, QUICK)
    content = first.path.read_bytes()
    entries = Cache(run / "cache").size()
    again = analyze(run, QUICK)
    assert again.reused == len(NAMES)
    assert first.computed == first.steps == again.steps == len(QUICK.steps) * len(NAMES)
    assert again.computed == 0
    assert analyze(run, QUICK.replace({"kmeans.k": 3})).computed == len(NAMES)  # and nothing else
    assert again.findings == first.findings
    assert analyze(run, QUICK).path.read_bytes() == content
    assert Cache(run / "cache").size()[0] == entries[0] + len(NAMES)


def test_what_other_processes_computed_is_found_again_in_this_one(run):
    analyze(run, QUICK, workers=2)
    assert analyze(run, QUICK, workers=1).reused == len(NAMES)


def test_without_cache_nothing_is_kept(run):
    analyze(run, QUICK, cache=False, classes=["cat"])
    assert not (run / "cache").exists()


def test_progress_names_every_class(run):
    calls = []
    analyze(run, QUICK, progress=lambda *call: calls.append(call))
    assert calls[0] == (0, 4, "")
    assert calls[1:] == [(k + 1, 4, name) for k, name in enumerate(NAMES)]


def test_one_class_at_a_time_adds_up(run, finished):
    for name in ("cat", "2", "00000001", "owl"):
        done = analyze(run, QUICK, seed=1, classes=[name])
    assert {row.name for row in done.findings} == set(NAMES)
    assert done.findings == finished[1].findings


def test_one_class_with_other_settings_replaces_the_file_and_says_so(run):
    assert analyze(run, QUICK).replaced == 0
    done = analyze(run, QUICK, seed=9, classes=["cat"])
    assert [row.name for row in done.findings] == ["cat"]
    assert done.replaced == len(NAMES) - 1


def while_analysing(run, chain, classes, other):
    """Analyse, and do `other` when the first class is done."""
    return analyze(run, chain, classes=classes, progress=lambda done, *_: other() if done == 1 else None)


def test_two_analyses_at_once_both_stay(run):
    density = Pipeline("density", QUICK.until("hdbscan").steps)
    while_analysing(run, density, (), lambda: analyze(run, Pipeline("kmeans", QUICK.until("kmeans").steps)))
    with open_project(run) as project:
        assert set(project.analyses) == {"density", "kmeans"}
        for name, other in (("density", "hdbscan"), ("kmeans", "kmeans")):
            found = project.analysis(name)
            assert len(found.categories) == len(NAMES)
            assert found.category("cat").clusterings == [other]


def test_two_classes_at_once_add_up(run):
    while_analysing(run, QUICK, ["cat"], lambda: analyze(run, QUICK, classes=["dog"]))
    with open_project(run) as project:
        assert {c.name for c in project.analysis("spray").categories.values()} == {"cat", "dog"}


def test_names_that_make_the_same_file_name_get_files_of_their_own(run):
    for name in ("first", "a b", "a-b", "a (b)"):
        analyze(run, Pipeline(name, QUICK.until("knn").steps), classes=["cat"])
    with open_project(run) as project:
        paths = [project.analysis(name).paths[0].name for name in project.analyses]
    assert paths == ["analysis.h5", "analysis-a-b.h5", "analysis-a-b-2.h5", "analysis-a-b-3.h5"]


def test_a_folder_that_cannot_be_written_is_named(run, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("backlight.core.analysis.atomic_hdf5", refuse)
    with pytest.raises(
        BacklightError, match=r"cannot write into .*run: Permission denied; earlier results are"
    ):
        analyze(run, QUICK.until("knn"), cache=False)


def test_classes_by_prediction(run):
    done = analyze(run, QUICK, by="prediction")
    with open_project(run) as project:
        category = project.analysis("spray").category("cat")
        assert (project.attributions.predictions(category.index).argmax(axis=1) == 0).all()
    assert done.findings[0].suspicious_purity == 1.0


def test_word_net_ids_name_the_categories(tmp_path):
    write_run(tmp_path, word_net_ids=True)
    done = analyze(tmp_path, QUICK, classes=["dog", "n00000002"])
    assert {row.category for row in done.findings} == {"n00000001", "n00000002"}


def test_without_predictions_purity_is_unknown(tmp_path):
    write_run(tmp_path, prediction=False)
    (row,) = analyze(tmp_path, QUICK, classes=["cat"]).findings
    assert np.isnan(row.suspicious_purity)
    with pytest.raises(RequestError, match="recorded no predictions"):
        analyze(tmp_path, QUICK, by="prediction")


def test_maps_that_are_not_finite_are_left_out_and_counted(run):
    with h5py.File(run / "attribution.h5", "r+") as file:
        row = int(np.flatnonzero(file["label"][:] == 0)[3])
        file["attribution"][row, 0, 0, 0] = np.nan
        index = int(file["index"][row])
    done = analyze(run, QUICK, classes=["cat"])
    assert done.findings[0].left_out == 1
    with h5py.File(done.path) as file:
        assert file["00000000"].attrs["left_out"].tolist() == [index]
        assert index not in file["00000000/index"][:]


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_tiny_classes_have_every_name(run, kept):
    with h5py.File(run / "attribution.h5", "r+") as file:
        rows = np.flatnonzero(file["label"][:] == 3)[kept:]
        keep = np.setdiff1d(np.arange(len(file["label"])), rows)
        for name in list(file):
            values = file[name][:][keep]
            del file[name]
            file[name] = values
    done = analyze(run, QUICK)
    with h5py.File(done.path) as file:
        assert sorted(_paths(file["00000003"])) == sorted(_paths(file["00000000"]))
        assert file["00000003/embedding/spectral"].shape == (kept, max(2, kept))
        assert file["00000003/embedding/tsne"].shape == (kept, 2)
        assert len(file["00000003/embedding/spectral"].attrs["eigenvalue"]) == max(2, kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["dgo"]}, "unknown class 'dgo'; did you mean 'dog'"),
        ({"chain": "sprey"}, "did you mean 'spray'"),
        ({"by": "labels"}, "unknown grouping 'labels'"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_written(run, options, message):
    before = sorted(run.iterdir())
    with pytest.raises(RequestError, match=message):
        analyze(run, options.pop("chain", QUICK), **options)
    assert sorted(run.iterdir()) == before


def test_no_run_and_no_attributions(tmp_path, run):
    with pytest.raises(RequestError, match="no run directory or project file"):
        analyze(tmp_path / "nowhere", QUICK)
    with h5py.File(run / "attribution.h5", "r+") as file:
        for name in list(file):
            values = file[name][:0]
            del file[name]
            file[name] = values
    with pytest.raises(RequestError, match="has no attributions to analyse"):
        analyze(run, QUICK)


def fail_on_dogs(relevance):
    if relevance[:, :, :2, :2].mean() > 0.2:
        raise RequestError("a dog")
    return relevance


def fail(relevance):
    raise RequestError("an animal")


NEVER = Pipeline("spray", (Step("fail", fail), *QUICK.steps))
FAILING = Pipeline("spray", (Step("fail", fail_on_dogs), *QUICK.steps))


def test_a_failing_class_is_named_and_costs_no_other(run):
    analyze(run, FAILING, classes=["cat"])
    done = analyze(run, FAILING)
    assert [str(error) for error in done.failed] == ["class 'dog': a dog"]
    assert "fail_on_dogs" in done.failed[0].__notes__[0]
    assert {row.name for row in done.findings} == set(NAMES) - {"dog"}
    analyze(run, QUICK)
    with h5py.File(done.path) as file:
        before = len(file)
    assert before == len(NAMES)


def test_a_class_that_fails_in_a_branch_is_named_and_costs_no_other(run):
    seen = []
    done = analyze(
        run,
        FAILING,
        classes=["cat", "dog"],
        workers=8,
        progress=lambda done, total, name: seen.append((done, total, name)),
    )
    assert [str(error) for error in done.failed] == ["class 'dog': a dog"]
    assert [row.name for row in done.findings] == ["cat"]
    assert done.computed == done.steps == len(FAILING.steps)
    assert seen[:2] == [(0, 12, ""), (1, 12, "cat, spectral")]  # of two classes five steps each are tasks
    assert seen[-1][2] == "cat"


def test_where_every_class_fails_earlier_results_stay(run):
    analyze(run, QUICK)
    before = {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()}
    with pytest.raises(RequestError, match="class 'dog': a dog"):
        analyze(run, FAILING, classes=["dog"])
    seen = []
    with pytest.raises(RequestError, match="class 'cat': an animal"):
        analyze(run, NEVER, progress=lambda done, total, name: seen.append(done))
    assert seen == [0, 1, 2]  # the fourth was not tried
    with pytest.raises(RequestError, match="class 'cat': an animal"):
        analyze(run, NEVER, workers=2)
    assert {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()} == before
    assert [path.name for path in run.glob(".*")] == [".project.yaml.lock"]


def test_an_analysis_killed_in_the_middle_resumes_and_harms_nothing(run, finished):
    """Kill a real process after its second class: no analysis yet, finished classes are in the cache."""
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_analysis import QUICK, analyze
        def report(done, total, name):
            print(done, flush=True)
            if done == 2:
                sys.stdin.read()
        analyze({str(run)!r}, QUICK, seed=1, workers=1, progress=report)
    """
    before = (run / "project.yaml").read_bytes()
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        while worker.stdout.readline() != "2\n":
            assert worker.poll() is None
        os.kill(worker.pid, signal.SIGKILL)
    assert (run / "project.yaml").read_bytes() == before
    assert not (run / "analysis.h5").exists()
    done = analyze(run, QUICK, seed=1)
    assert done.reused >= 2
    assert done.path.read_bytes() == finished[1].path.read_bytes()


def test_a_truncated_earlier_analysis_is_replaced(run):
    analyze(run, QUICK, classes=["cat"])
    content = (run / "analysis.h5").read_bytes()
    (run / "analysis.h5").write_bytes(content[:1000])
    done = analyze(run, QUICK, classes=["dog"])
    assert [row.name for row in done.findings] == ["dog"]


def test_a_pipeline_without_suspicion_ranks_by_tau(run):
    steps = tuple(step for step in QUICK.steps if step.name != "suspicion")
    done = analyze(run, Pipeline("older", steps))
    assert all(row.ranked_by == "tau" and row.suspicion == row.tau for row in done.findings)
    with h5py.File(done.path, "a") as file:
        for group in file.values():  # as files were before they said
            del group.attrs["ranked_by"], group.attrs["suspicion"]
    with open_project(run) as project:
        assert ranking(done.path, project.labels) == done.findings
        found = [c.suspicion for c in project.analysis("older").categories.values()]
    assert {("tau", row.tau) for row in done.findings} == set(found)


def test_a_pipeline_without_scores_still_ranks(run):
    bare = Pipeline("bare", (*QUICK.until("kmeans").steps,))
    done = analyze(run, bare)
    assert all(np.isnan(row.tau) for row in done.findings)
    assert [row.category for row in done.findings] == sorted(row.category for row in done.findings)
    assert done.findings[0].suspicious_cluster == -1
    only_maps = Pipeline("maps", (Step("flatten", Flatten()),))
    assert len(analyze(run, only_maps).findings) == len(NAMES)


def test_a_moved_run_is_still_itself(finished, tmp_path):
    moved = shutil.copytree(finished[0], tmp_path / "elsewhere")
    assert analyze(moved, QUICK, seed=1).reused == len(NAMES)
