"""Projects as ViRelAy's users have them: both HDF5 forms, nulls, several sources, descending eigenvalues."""

import h5py
import numpy as np
import pytest
import yaml

from backlight.app.web import make_app
from backlight.core.panel import image_url
from backlight.core.project import open_project
from backlight.core.projects.sample import describe

PROJECT = {
    "name": "imported",
    "model": "VGG16",
    "label_map": "labels.json",
    "dataset": {
        "name": "ILSVRC",
        "type": "hdf5",
        "path": "input.h5",
        "input_width": None,
        "input_height": None,
        "down_sampling_method": None,
        "up_sampling_method": None,
    },
    "attributions": {
        "attribution_method": "LRP Epsilon Gamma Box",
        "attribution_strategy": "true_label",
        "sources": ["one.h5", "two.h5"],
    },
    "analyses": [
        {"analysis_method": "Spectral", "sources": ["first.h5"]},
        {"analysis_method": "Spectral", "sources": ["second.h5"]},
    ],
}
N, SIDE = 12, 8


@pytest.fixture(params=["dataset", "group"])
def virelay(request, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (N, 3, SIDE, SIDE), dtype=np.uint8)
    relevance = rng.normal(size=(N, 3, SIDE, SIDE)).astype(np.float32)
    (tmp_path / "project.yaml").write_text(yaml.safe_dump({"project": PROJECT}))
    (tmp_path / "labels.json").write_text(
        '[{"index": 0, "word_net_id": "n01", "name": "cat"},'
        ' {"index": 1, "word_net_id": "n02", "name": "dog"}]'
    )
    keys = [str(k) for k in range(N)]
    order = sorted(range(N), key=lambda k: keys[k].encode()) if request.param == "group" else list(range(N))
    with h5py.File(tmp_path / "input.h5", "w") as file:
        if request.param == "group":
            for k in range(N):
                file[f"data/{keys[k]}"] = images[k]
                file[f"label/{keys[k]}"] = np.array([k % 2 == 0, k % 2 == 1])
        else:
            file["data"], file["label"] = images, np.eye(2, dtype=bool)[np.arange(N) % 2]
    for name, part in (("one.h5", order[:6]), ("two.h5", order[6:])):
        with h5py.File(tmp_path / name, "w") as file:
            # Positions in the dataset, in an order of their own.
            index = np.array([order.index(k) for k in part])[::-1]
            file["attribution"] = relevance[part][::-1]
            file["prediction"] = np.eye(2, dtype=np.float32)[np.array(part)[::-1] % 2]
            file["label"] = (np.array(part)[::-1] % 2).astype(np.uint16)
            file["index"] = index.astype(np.uint32)
    for name, label in (("first.h5", 0), ("second.h5", 1)):
        members = np.array([order.index(k) for k in order if k % 2 == label])
        with h5py.File(tmp_path / name, "w") as file:
            group = file.create_group(f"n0{label + 1}")
            group["index"] = members.astype(np.uint32)
            group["embedding/spectral"] = rng.normal(size=(len(members), 3)).astype(np.float32)
            group["embedding/spectral"].attrs["eigenvalue"] = [0.9, 0.5, 0.1]
            group["embedding/tsne"] = rng.normal(size=(len(members), 2)).astype(np.float32)
            group["cluster/kmeans-02"] = (np.arange(len(members)) % 2).astype(np.int32)
    return tmp_path, images[order], relevance[order], [k % 2 for k in order]


def test_every_sample_is_found_with_its_picture_relevance_and_label(virelay):
    root, images, relevance, labels = virelay
    with open_project(root) as project:
        assert len(project.dataset) == N
        assert project.dataset.labels.tolist() == labels
        for index in range(N):
            assert (project.dataset.image(index) == np.moveaxis(images[index], 0, -1)).all()
            assert (project.attributions.relevance(index) == relevance[index]).all()
        found = describe(project, range(N))
        assert [s.label for s in found] == [("cat", "dog")[k] for k in labels]
        assert all(s.correct for s in found)


def test_sources_of_one_method_merge_and_the_explorer_opens(virelay):
    root, *_ = virelay
    with open_project(root) as project:
        assert [c.name for c in project.analysis("Spectral").categories.values()] == ["cat", "dog"]
        assert project.analysis("Spectral").category("dog").embedding("spectral").component.tolist() == [
            2,
            1,
            0,
        ]
        client = make_app([project]).server.test_client()
        assert client.get("/_dash-layout").status_code == 200
        assert client.get(image_url("imported", 11, "overlay", "black-fire-red")).status_code == 200
