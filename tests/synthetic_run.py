"""A small, real run directory: three classes, one of which has a cluster with a mark in the corner."""

from pathlib import Path

import h5py
import numpy as np

from backlight.core.project import ANALYSIS_FILE, ATTRIBUTION_FILE, DATA_FILE, Label, LabelMap, write_project

CLASSES = ("cat", "dog", "<b>fish</b>")
PER_CLASS = 60
MARKED_CLASS = 1
MARKED = 16
SIDE = 16


def write_run(root: Path, *, per_class=PER_CLASS, channels=3, name="pets", seed=0) -> Path:
    """Write data, attributions, analyses and the project file; return the project file."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    marked = np.zeros(len(labels), dtype=bool)
    marked[MARKED_CLASS * per_class : MARKED_CLASS * per_class + min(MARKED, per_class)] = True
    _write_data(root, rng, labels, marked, channels)
    order = rng.permutation(len(labels))
    _write_attributions(root, rng, order, labels, marked, channels)
    with h5py.File(root / ANALYSIS_FILE, "w") as file:
        for number in range(len(CLASSES)):
            _write_category(file.create_group(f"{number:08d}"), rng, np.flatnonzero(labels == number), marked)
    return write_project(
        root,
        name=name,
        model="small-cnn",
        dataset="synthetic",
        labels=LabelMap([Label(k, text) for k, text in enumerate(CLASSES)]),
        method="epsilon-gamma-box",
        strategy="true_label",
        image_size=(SIDE, SIDE),
        analyses=["spray"],
    )


def _write_data(root, rng, labels, marked, channels):
    images = rng.integers(40, 120, (len(labels), channels, SIDE, SIDE), dtype=np.uint8)
    for k, label in enumerate(labels):
        images[k, label % channels, 4 + 2 * label : 10 + 2 * label, 5:11] = 220
    images[marked, :, :4, :4] = 255
    with h5py.File(root / DATA_FILE, "w") as file:
        file["data"], file["label"] = images, labels.astype(np.uint16)
        file["source"] = [f"{CLASSES[label]}/{k:04d}.png" for k, label in enumerate(labels)]


def _write_attributions(root, rng, order, labels, marked, channels):
    relevance = rng.normal(0, 0.05, (len(labels), channels, SIDE, SIDE)).astype(np.float32)
    for k, label in enumerate(labels):
        relevance[k, :, 4 + 2 * label : 10 + 2 * label, 5:11] += 0.2 if marked[k] else 1.0
    relevance[marked, :, :4, :4] += 2.0
    outputs = 4 * np.eye(len(CLASSES))[labels] + rng.normal(0, 1.5, (len(labels), len(CLASSES)))
    with h5py.File(root / ATTRIBUTION_FILE, "w") as file:
        # Rows in another order than the dataset: only `index` says which picture they belong to.
        file["attribution"], file["prediction"] = relevance[order], outputs[order].astype(np.float32)
        file["label"], file["index"] = labels[order].astype(np.uint16), order.astype(np.uint32)


def _write_category(group, rng, index, marked):
    n, special = len(index), marked[index]
    clusters = np.where(special, 2, rng.integers(0, 2, n)).astype(np.int32)
    noise = rng.choice(np.flatnonzero(~special), n // 15, replace=False)
    centres = np.array([[-4.0, 0.0], [4.0, 1.0], [0.0, 7.0]])
    map_2d = centres[clusters] + rng.normal(0, 0.9, (n, 2))
    clusters[noise] = -1
    group["index"] = index.astype(np.uint32)
    group["embedding/tsne"] = map_2d.astype(np.float32)
    spectral = np.hstack([map_2d, rng.normal(0, 1, (n, 6))]).astype(np.float32)
    ascending = np.array([0.0, 0.02, 0.05, 0.31, 0.36, 0.4, 0.44, 0.47])
    group["embedding/spectral"] = spectral[:, ::-1]
    group["embedding/spectral"].attrs["eigenvalue"] = ascending[::-1]
    group["cluster/hdbscan"] = clusters
    group["cluster/kmeans-02"] = (map_2d[:, 0] > 0).astype(np.int32)
    for clustering in ("hdbscan", "kmeans-02"):
        group[f"cluster/{clustering}"].attrs["embedding"] = "spectral"
    group["score/tau"] = 0.82 if special.any() else 0.35 + 0.05 * (index[0] > 0)
    group["score/tau"].attrs.update({"clustering": "hdbscan", "baseline": 0.2, "cluster_count": 3})
    group["score/eigengap"] = 3
    if special.any():
        group["score/purity"] = np.array([0.9, 0.88, 1.0])
        group["score/purity"].attrs.update({"cluster": [0, 1, 2], "clustering": "hdbscan"})
        group.attrs.update({"suspicious_cluster": 2, "suspicious_clustering": "hdbscan"})
