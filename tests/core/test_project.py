"""Projects: written as ViRelAy reads them, read back the same, every mistake named with file and key."""

import json

import h5py
import numpy as np
import pytest
import yaml

from backlight.core.errors import FormatError, RequestError
from backlight.core.project import Label, LabelMap, open_project, write_project


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["data"] = rng.integers(0, 256, (6, 3, 5, 5), dtype=np.uint8)
        file["label"] = np.array([0, 1, 0, 1, 0, 1], np.uint8)
    with h5py.File(tmp_path / "attribution.h5", "w") as file:
        file["index"] = np.array([4, 0, 5, 2], np.uint32)  # a permutation of a subset
        file["attribution"] = np.stack([np.full((3, 5, 5), i, np.float32) for i in (4, 0, 5, 2)])
        file["prediction"] = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
        file["label"] = np.array([0, 0, 1, 0], np.int64)
    with h5py.File(tmp_path / "analysis.h5", "w") as file:
        group = file.create_group("00000001")
        group["index"] = np.array([5, 1], np.uint32)
        group["embedding/tsne"] = np.zeros((2, 2), np.float32)
        group["cluster/kmeans-02"] = np.array([0, 1], np.int32)
        group.attrs.update(suspicious_cluster=1, suspicious_clustering="kmeans-02")
    write_project(
        tmp_path,
        name="test",
        model="net",
        dataset="data",
        labels=LabelMap([Label(0, "cat"), Label(1, "dog", "n0001")]),
        method="epsilon",
        strategy="true_label",
        image_size=(5, 5),
        analyses=["spray"],
    )
    return tmp_path


def edit(root, path, value):
    """Set (or, with None, remove) one key of the project file."""
    document = yaml.safe_load((root / "project.yaml").read_text())
    *parents, key = path.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[key]
    else:
        place[key] = value
    (root / "project.yaml").write_text(yaml.safe_dump(document))


def test_the_written_file_has_every_key_virelay_asks_for(root):
    project = yaml.safe_load((root / "project.yaml").read_text())["project"]
    assert {"name", "model", "label_map", "dataset", "attributions", "analyses"} <= project.keys()
    assert {"name", "type", "path"} <= project["dataset"].keys()
    assert {"attribution_method", "attribution_strategy", "sources"} <= project["attributions"].keys()
    assert project["analyses"] == [{"analysis_method": "spray", "sources": ["analysis.h5"]}]
    labels = json.loads((root / "labels.json").read_text())
    assert labels[1] == {"index": 1, "word_net_id": "n0001", "name": "dog"}
    # ViRelAy names a category after the label whose word_net_id it bears.
    assert labels[0] == {"index": 0, "word_net_id": "00000000", "name": "cat"}


def test_an_index_that_is_a_permutation_of_a_subset_gives_the_right_rows(root):
    with open_project(root) as project:
        assert project.attributions.indices.tolist() == [0, 2, 4, 5]
        for index in (0, 2, 4, 5):
            assert project.attributions.relevance(index).max() == index
        wanted = np.array([5, 0, 5, 4])
        assert project.attributions.relevances(wanted)[:, 0, 0, 0].tolist() == [5, 0, 5, 4]
        assert project.attributions.predictions(wanted).argmax(1).tolist() == [1, 0, 1, 0]
        with pytest.raises(FormatError, match="no attribution of sample 1"):
            project.attributions.relevance(1)


def test_without_an_index_rows_are_samples(root):
    with h5py.File(root / "attribution.h5", "r+") as file:
        del file["index"]
    with open_project(root) as project:
        assert project.attributions.relevance(1).max() == 0
        assert project.attributions.indices.tolist() == [0, 1, 2, 3]


def test_the_first_of_several_sources_that_holds_a_sample_wins(root):
    with h5py.File(root / "more.h5", "w") as file:
        file["index"] = np.array([1, 0], np.uint32)
        file["attribution"] = np.full((2, 3, 5, 5), 77, np.float32)
    edit(root, "project.attributions.sources", ["attribution.h5", "more.h5"])
    with open_project(root) as project:
        assert project.attributions.relevance(1).max() == 77
        assert project.attributions.relevance(0).max() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, bool])
def test_labels_of_every_type_are_read(root, dtype):
    with h5py.File(root / "data.h5", "r+") as file:
        labels = file["label"][:]
        del file["label"]
        file["label"] = np.eye(2, dtype=bool)[labels] if dtype is bool else labels.astype(dtype)
    with open_project(root) as project:
        assert project.dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_categories_are_found_by_id_and_by_name(root):
    with open_project(root) as project:
        category = project.analysis("spray").category("00000001")
        assert category.index.tolist() == [5, 1]
        assert category.suspicious == ("kmeans-02", 1)
        assert category.members("kmeans-02", 1).tolist() == [1]
        with pytest.raises(RequestError, match="did you mean 'tsne'"):
            category.embedding("tsn")
        with pytest.raises(RequestError, match="did you mean 'kmeans-02'"):
            category.clusters("kmeans-2")
        with pytest.raises(RequestError, match="unknown category"):
            project.analysis("spray").category("nobody")
        with pytest.raises(RequestError, match="did you mean 'spray'"):
            project.analysis("spry")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("project", "text", "'project' is str, expected a mapping"),
        ("project.name", None, "lacks the key 'name'"),
        ("project.label_map", "nolabels.json", r"label map .*nolabels\.json cannot be used"),
        ("project.dataset.type", "tarball", "dataset.type is 'tarball'"),
        ("project.attributions.sources", None, "lacks the key 'sources'"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_key(root, path, value, sentence):
    edit(root, path, value)
    with pytest.raises(FormatError, match=sentence):
        open_project(root)


def test_a_missing_data_file_is_named_when_it_is_needed(root):
    (root / "data.h5").unlink()
    with open_project(root) as project, pytest.raises(FormatError, match=r"data\.h5 does not exist"):
        project.dataset.image(0)


@pytest.mark.parametrize("text", ["- a\n- b", "a: [", ""])
def test_a_project_file_of_something_else(root, text):
    (root / "project.yaml").write_text(text)
    with pytest.raises(FormatError, match=r"project\.yaml"):
        open_project(root)


def test_a_folder_without_a_project(tmp_path):
    with pytest.raises(RequestError, match="is no run directory or project file"):
        open_project(tmp_path)


def test_a_yaml_that_would_build_objects_is_refused(root):
    (root / "project.yaml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(FormatError, match="not valid YAML"):
        open_project(root)


def test_a_category_that_the_label_map_does_not_name_goes_by_its_id(root):
    with h5py.File(root / "analysis.h5", "a") as file:
        file.move("00000001", "night-shots")
    with open_project(root) as project:
        category = project.analysis("spray").category("night-shots")
        assert (category.name, category.label) == ("night-shots", None)
        assert list(category.index) == [5, 1]
