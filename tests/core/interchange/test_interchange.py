"""Relevance of other tools becomes a run that verifies and opens; a run becomes arrays and tables again."""

import json

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from backlight.app.cli import main
from backlight.core.errors import FormatError
from backlight.core.interchange.importing import import_run
from backlight.core.project import open_project
from backlight.core.run import verify

RNG = np.random.default_rng(0)
INPUTS = RNG.integers(0, 256, (7, 3, 6, 5), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])
RELEVANCE = RNG.normal(size=(7, 3, 6, 5)).astype(np.float32)
OUTPUTS = RNG.normal(size=(7, 3)).astype(np.float32)


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def save(folder, kind):
    """Write the arrays as one tool or another does; return the arguments of the import."""
    if kind == "virelay":
        with h5py.File(folder / "data.h5", "w") as file:
            file["data"], file["label"] = INPUTS, LABELS.astype(np.uint16)
        with h5py.File(folder / "attribution.h5", "w") as file:
            file["attribution"], file["prediction"] = RELEVANCE, OUTPUTS
            file["label"] = LABELS.astype(np.uint16)
        return "attribution.h5", "--inputs", "data.h5"
    if kind == "virelay groups":
        with h5py.File(folder / "all.h5", "w") as file:
            for i in range(7):
                file[f"data/{i}"], file[f"label/{i}"], file[f"attribution/{i}"] = (
                    INPUTS[i],
                    LABELS[i],
                    RELEVANCE[i],
                )
                file[f"prediction/{i}"] = OUTPUTS[i]
        return ("all.h5",)
    if kind == "npy":
        np.save(folder / "r.npy", RELEVANCE)
        np.save(folder / "x.npy", INPUTS)
        np.save(folder / "y.npy", LABELS)
        return "r.npy", "--inputs", "x.npy", "--labels", "y.npy"
    named = {"relevance": RELEVANCE, "inputs": INPUTS / np.float32(255), "labels": LABELS, "logits": OUTPUTS}
    if kind == "npz":
        np.savez(folder / "all.npz", **named)
        return ("all.npz",)
    torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in named.items()}, folder / "all.pt")
    return ("all.pt",)


@pytest.mark.parametrize("kind", ["virelay", "virelay groups", "npy", "npz", "pt"])
def test_relevance_of_other_tools_becomes_a_run(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    result = call("import", *save(tmp_path, kind), "--out", "run")
    assert result.exit_code == 0, result.output
    assert verify(tmp_path / "run") == []
    with open_project(tmp_path / "run") as project:
        np.testing.assert_array_equal(project.attributions.relevances(np.arange(7)), RELEVANCE)
        np.testing.assert_array_equal(project.dataset.image(4), np.moveaxis(INPUTS[4], 0, -1))
        assert project.dataset.labels.tolist() == LABELS.tolist()
        if kind != "npy":
            np.testing.assert_array_equal(project.attributions.predictions(np.arange(7)), OUTPUTS)


def test_an_index_that_permutes_and_leaves_out_finds_the_right_pictures(tmp_path):
    index = np.array([5, 0, 3])
    np.savez(tmp_path / "all.npz", relevance=RELEVANCE[index], inputs=INPUTS, labels=LABELS, index=index)
    (tmp_path / "map.json").write_text(
        json.dumps([{"index": i, "word_net_id": None, "name": n} for i, n in enumerate("abc")])
    )
    import_run(tmp_path / "run", tmp_path / "all.npz", label_map=tmp_path / "map.json")
    with open_project(tmp_path / "run") as project:
        assert project.attributions.indices.tolist() == [0, 3, 5]
        for i in (0, 3, 5):
            np.testing.assert_array_equal(project.attributions.relevance(i), RELEVANCE[i])
        assert [label.name for label in project.labels.labels] == ["a", "b", "c"]


def test_samples_whose_label_is_not_told_are_no_class_of_the_model(tmp_path):
    index = np.array([5, 0, 3])
    named = {"relevance": RELEVANCE[index], "labels": LABELS[index], "logits": OUTPUTS[index], "index": index}
    np.savez(tmp_path / "all.npz", inputs=INPUTS, **named)
    import_run(tmp_path / "run", tmp_path / "all.npz")
    with open_project(tmp_path / "run") as project:
        names = [label.name for label in project.labels.labels]
        assert [names[i] for i in project.dataset.labels] == [
            f"class {LABELS[i]}" if i in index else "unlabelled" for i in range(7)
        ]
        assert names.index("unlabelled") >= OUTPUTS.shape[1]


def test_relevance_that_is_not_finite_is_left_out_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relevance = RELEVANCE.astype(np.float64)
    relevance[2, 0, 0, 0], relevance[5] = np.nan, 1e300
    np.savez("all.npz", relevance=relevance, inputs=INPUTS, labels=LABELS)
    result = call("import", "all.npz", "--out", "run")
    assert result.exit_code == 0 and "5 samples attributed" in result.output
    assert "left out sample 2: relevance is not finite in float32" in result.output
    with open_project("run") as project:
        assert project.attributions.indices.tolist() == [0, 1, 3, 4, 6]
        np.testing.assert_array_equal(project.attributions.relevance(6), RELEVANCE[6])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"relevance": RELEVANCE[:0], "inputs": INPUTS, "labels": LABELS}, "is empty"),
        ({"relevance": RELEVANCE, "inputs": INPUTS, "labels": LABELS - 1}, "no whole numbers from 0 to"),
        ({"relevance": RELEVANCE, "inputs": INPUTS, "labels": LABELS + 0.5}, "no whole numbers from 0 to"),
        ({"inputs": INPUTS, "labels": LABELS}, "holds no relevance"),
        ({"relevance": RELEVANCE, "labels": LABELS}, "holds no inputs"),
        ({"relevance": RELEVANCE, "inputs": INPUTS}, "holds no labels"),
        ({"relevance": RELEVANCE, "inputs": INPUTS, "labels": LABELS[:3]}, "has 3 labels, expected 7"),
        (
            {"relevance": RELEVANCE, "inputs": INPUTS[:5], "labels": LABELS[:5]},
            "7 rows of relevance do not fit",
        ),
        ({"relevance": RELEVANCE[..., :4], "inputs": INPUTS, "labels": LABELS}, "maps of"),
    ],
)
def test_what_does_not_belong_together_is_named_and_nothing_written(tmp_path, arrays, sentence):
    np.savez(tmp_path / "all.npz", **arrays)
    with pytest.raises(FormatError, match=sentence):
        import_run(tmp_path / "run", tmp_path / "all.npz")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["none.npy", "text.npy", "text.pt", "text.csv", "pickled.npy"])
def test_files_that_are_no_arrays_are_named(tmp_path, name):
    if name == "pickled.npy":
        np.save(tmp_path / name, np.array([{}]), allow_pickle=True)
    elif name != "none.npy":
        (tmp_path / name).write_text("no arrays")
    result = call("import", tmp_path / name, "--out", tmp_path / "run")
    assert result.exit_code == 2 and name in result.output and "Traceback" not in result.output


@pytest.fixture
def imported(tmp_path):
    import_run(tmp_path / "run", tmp_path / save(tmp_path, "npz")[0])
    return tmp_path


def test_export_to_npz_gives_the_arrays_back(imported):
    assert call("export", imported / "run", "--out", imported / "out.npz").exit_code == 0
    with np.load(imported / "out.npz") as found:
        np.testing.assert_array_equal(found["relevance"], RELEVANCE)
        np.testing.assert_array_equal(found["prediction"], OUTPUTS)
        assert found["label"].tolist() == LABELS.tolist() and found["index"].tolist() == list(range(7))
    import_again = call("export", imported / "run", "--out", imported / "small.npz", "--no-relevance")
    assert import_again.exit_code == 0
    with np.load(imported / "small.npz") as found:
        assert "relevance" not in found


def test_export_to_parquet_has_a_row_for_every_sample(imported):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert call("export", imported / "run", "--out", imported / "out.parquet").exit_code == 0
    rows = pq.read_table(imported / "out.parquet").to_pylist()
    assert [row["label"] for row in rows] == LABELS.tolist()
    assert [row["predicted"] for row in rows] == OUTPUTS.argmax(1).tolist()
    shaped = np.array(rows[3]["relevance"], np.float32).reshape(rows[3]["relevance_shape"])
    np.testing.assert_array_equal(shaped, RELEVANCE[3])


def test_an_export_to_an_unknown_kind_is_refused(imported):
    result = call("export", imported / "run", "--out", imported / "out.csv")
    assert result.exit_code == 2 and "expected .npz or .parquet" in result.output
