"""A run of a real, small network over real pictures, made as `backlight attribute` and `analyze` make it."""

from pathlib import Path
from typing import Any

import h5py
import torch
from safetensors.torch import save_file

from backlight.app.demo import digits
from backlight.core.analysis import analyze
from backlight.core.pipeline import Pipeline, pipeline
from backlight.core.run import attribute_dataset
from backlight.core.run.preparing import prepare
from backlight.core.run_config import build_config, to_toml

MODEL = """
from torch import nn

def network(num_classes=10):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 8, num_classes),
    )
"""
CLASSES = 3
PER_CLASS = 30


def write_live_run(root: Path, chain: Pipeline | None = None, **settings: Any) -> Path:
    """Write model, weights, data and a finished, analysed run; return the run directory.

    settings: more keys of run.toml by field name.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "model.py").write_text(MODEL)
    pictures, labels, _ = digits()
    chosen = [k for c in range(CLASSES) for k in (labels == c).nonzero()[0][:PER_CLASS]]
    with h5py.File(root / "digits.h5", "w") as file:
        file["data"], file["label"] = pictures[chosen].transpose(0, 3, 1, 2), labels[chosen].astype("u2")
    names: dict[str, object] = {}
    exec(MODEL, names)
    torch.manual_seed(3)
    save_file(names["network"](CLASSES).state_dict(), root / "weights.safetensors")
    config = build_config(
        {
            "model": f"{root / 'model.py'}:network",
            "weights": str(root / "weights.safetensors"),
            "classes": CLASSES,
            "data": str(root / "digits.h5"),
            "out": str(root / "run"),
            "target": "predicted",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            **settings,
        }
    )
    ready, out = prepare(config), root / "run"
    attribute_dataset(
        ready.explainer,
        ready.source,
        out,
        ready.settings,
        described=ready.described,
        config=to_toml(config, out),
    )
    analyze(out, chain or pipeline("spray", neighbours=8, eigenvalues=4, perplexity=5.0), workers=1)
    return out
