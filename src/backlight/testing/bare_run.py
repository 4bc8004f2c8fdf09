"""A run directory with next to nothing in it: three samples, two classes, no embedding or clustering."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from backlight.core.project import (
    ANALYSIS_FILE,
    ATTRIBUTION_FILE,
    DATA_FILE,
    Label,
    LabelMap,
    write_project,
)

NAME, ANALYSIS, CATEGORY = "bare", "spray", "00000000"
SAMPLES, SIDE = 3, 4


def write_bare_run(root: Path) -> Path:
    """Write the files into `root`; return the project file."""
    with h5py.File(root / DATA_FILE, "w") as file:
        file["data"] = np.zeros((SAMPLES, 3, SIDE, SIDE), np.uint8)
        file["label"] = np.zeros(SAMPLES, np.uint16)
    with h5py.File(root / ATTRIBUTION_FILE, "w") as file:
        file["attribution"] = np.zeros((SAMPLES, 3, SIDE, SIDE), np.float32)
        file["prediction"] = np.zeros((SAMPLES, 2), np.float32)
        file["label"] = np.zeros(SAMPLES, np.uint16)
        file["index"] = np.arange(SAMPLES, dtype=np.uint32)
    with h5py.File(root / ANALYSIS_FILE, "w") as file:
        file.create_group(CATEGORY)["index"] = np.arange(SAMPLES, dtype=np.uint32)
        file.create_group("00000001")["index"] = np.zeros(0, np.uint32)
    return write_project(
        root,
        name=NAME,
        model="none",
        dataset="empty",
        labels=LabelMap([Label(0, "one"), Label(1, "two")]),
        method="none",
        strategy="true_label",
        image_size=(SIDE, SIDE),
        analyses=[ANALYSIS],
    )
