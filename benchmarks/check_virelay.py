"""Open finished runs in ViRelAy and compare what its HTTP interface answers with what Backlight reads.

Three runs are attributed and analysed: relevance as it is, summed over channels in half precision, and with a
layer as a space of its own. Give the command of an installed ViRelAy: `check_virelay.py --virelay PATH`.
"""

import argparse
import contextlib
import io
import itertools
import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from backlight.core.analysis import analyze
from backlight.core.explainer import Explainer
from backlight.core.pictures.heatmap import heatmap
from backlight.core.pipeline import pipeline
from backlight.core.project import open_project
from backlight.core.run import Output, Settings, attribute_dataset
from backlight.core.sources.data import DatasetSource

FORMS = {
    "plain": Output(),
    "summed": Output(precision="float16", compression="gzip", channels="sum"),
    "layers": Output(layers=("0",), pooling="full"),
}


class Digits:
    """Eighty handwritten digits of two classes, as (32, 32, 3) pictures."""

    classes = ("zero", "one")

    def __init__(self):
        digits = load_digits(n_class=2)
        self.pictures, self.targets = digits.images[:80], digits.target[:80]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, number):
        small = (self.pictures[number] * 15).astype(np.uint8)
        return np.asarray(Image.fromarray(small).resize((32, 32)).convert("RGB")), self.targets[number]


def make(root, output):
    """Attribute and analyse a run."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, 2))
    source = DatasetSource(Digits(), root.name, training=True)
    attribute_dataset(
        Explainer(model, composite="epsilon"), source, root, Settings(shard_size=32, output=output)
    )
    quick = pipeline("spray", neighbours=8, eigenvalues=8).replace({"tsne.iterations": 250})
    for space in (None, *output.layers):
        analyze(root, quick, space=space, workers=1)


@contextlib.contextmanager
def served(command, projects):
    """Run ViRelAy over project files; yield a function that asks it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([command, "--host", "127.0.0.1", "--port", str(port), *map(str, projects)])

    def ask(path, **query):
        address = f"http://127.0.0.1:{port}/api/{path}{'?' if query else ''}{urlencode(query)}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            content = answer.read()
        is_json = "json" in answer.headers["Content-Type"]
        return json.loads(content) if is_json else np.asarray(Image.open(io.BytesIO(content)))

    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                ask("projects")
                break
            assert process.poll() is None and time.monotonic() < deadline, "ViRelAy does not answer"
            time.sleep(0.5)
        yield ask
    finally:
        process.terminate()
        process.wait()


def nearest(picture, candidates):
    """Return the number of the candidate that a picture is, by its brightness; JPEG blurs small colours."""
    bright = np.array([0.299, 0.587, 0.114])
    apart = [np.abs(picture @ bright - other @ bright).mean() for other in candidates]
    assert min(apart) < 8, f"{min(apart):.1f} of 255 apart"
    return int(np.argmin(apart))


def compare(project, ask):
    """Compare everything that ViRelAy shows of a project; return in words what that was."""
    described = ask("")
    assert described["name"] == project.name and described["model"] == project.model
    pictures = [project.dataset.image(k) for k in range(len(project.dataset))]
    maps = [
        np.asarray(heatmap(project.attributions.relevance(k), cmap="black-fire-red").convert("RGB"))
        for k in range(len(pictures))
    ]
    samples = range(0, len(pictures), 7)
    for index in samples:
        label = project.labels.label(int(project.dataset.labels[index]))
        for facts in (ask(f"/dataset/{index}"), ask(f"/attributions/{index}")):
            assert (facts["index"], facts["labels"][0]["name"]) == (index, label.name)
        assert nearest(ask(f"/dataset/{index}/image"), pictures) == index
        outputs = project.attributions.predictions(np.array([index]))[0]
        np.testing.assert_allclose(facts["prediction"], outputs, rtol=1e-6)
        theirs = ask(f"/attributions/{index}/heatmap", colorMap="black-fire-red", imageMode="attribution")
        assert nearest(theirs, maps) == index
    methods = {each["name"]: each for each in described["analysisMethods"]}
    assert methods.keys() == project.analyses.keys()
    points = 0
    for method, listed in methods.items():
        categories = project.analysis(method).categories
        assert {each["name"]: each["humanReadableName"] for each in listed["categories"]} == {
            category.id: category.name for category in categories.values()
        }
        for category in categories.values():
            for embedding, clustering in itertools.product(category.embeddings, category.clusterings):
                points += compare_analysis(category, method, embedding, clustering, ask)
    return f"{len(samples)} samples, {len(methods)} analyses and {points} points agree"


def compare_analysis(category, method, embedding, clustering, ask):
    """Compare one embedding and one clustering of a category; return the number of points."""
    chosen = {"category": category.id, "clustering": clustering, "embedding": embedding}
    found = ask(f"/analyses/{quote(method)}", **chosen)
    stored = category.embedding(embedding)
    assert [point["attributionIndex"] for point in found["embedding"]] == category.index.tolist()
    assert [point["cluster"] for point in found["embedding"]] == category.clusters(clustering).tolist()
    np.testing.assert_array_equal([point["value"] for point in found["embedding"]], stored.all())
    if stored.eigenvalues is not None:
        np.testing.assert_array_equal(found["eigenvalues"], stored.eigenvalues)
        assert (np.diff(found["eigenvalues"]) <= 0).all()
    return stored.size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--virelay", default="virelay", help="its command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        roots = [Path(name) / form for form in FORMS]
        for root in roots:
            make(root, FORMS[root.name])
        with served(options.virelay, [root / "project.yaml" for root in roots]) as ask:
            for root in roots:
                number = next(each["id"] for each in ask("projects") if each["name"] == root.name)

                def of_project(path, number=number, **query):
                    return ask(f"projects/{number}{path}", **query)

                with open_project(root) as project:
                    print(f"{root.name}: {compare(project, of_project)}")


if __name__ == "__main__":
    main()
