"""What many classes cost: `backlight analyze` on a run of synthetic maps, as one command.

    python benchmarks/bench_classes.py DIR [--classes 1000] [--samples 1300] [--side 16]
                                       [-- options of `backlight analyze`, --set picture=false, …]

Writes a run to DIR unless there is one (maps of three strategies a class and noise; one class has a mark in a
corner of a twentieth of its maps), analyses it and prints seconds, CPU seconds, peak memory, what it said on
its way of the time left, the sizes of results and cache, and the rank of the marked class.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from backlight.core.analysis import ranking
from backlight.core.project import ANALYSIS_FILE, ATTRIBUTION_FILE, DATA_FILE, Label, LabelMap, write_project

STRATEGIES = 3
TOLD = re.compile(r"(\d+)/(\d+).*about (.+) left")


def write_run(root: Path, classes: int, samples: int, side: int) -> None:
    """Write a run directory, class by class."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    n = classes * samples
    labels = np.repeat(np.arange(classes), samples)
    with h5py.File(root / DATA_FILE, "w") as data, h5py.File(root / ATTRIBUTION_FILE, "w") as file:
        data.create_dataset("data", (n, 1, side, side), np.uint8)  # black pictures, which take no room
        data["label"] = file["label"] = labels.astype(np.uint16)
        file["index"] = np.arange(n, dtype=np.uint32)
        relevance = file.create_dataset("attribution", (n, 1, side, side), np.float32)
        for number in range(classes):
            relevance[number * samples : (number + 1) * samples] = maps(
                rng, samples, side, number == classes // 2
            )
    write_project(
        root,
        name=root.name,
        model="none",
        dataset="synthetic",
        labels=LabelMap([Label(k, f"class {k}") for k in range(classes)]),
        method="epsilon-plus",
        strategy="true_label",
        image_size=(side, side),
    )


def maps(rng: np.random.Generator, n: int, side: int, marked: bool) -> np.ndarray:
    """Return (n, 1, side, side) maps: one of three blobs of varying strength, noise, perhaps a mark."""
    rows, columns = np.mgrid[:side, :side]
    centres = rng.uniform(side / 4, 3 * side / 4, (STRATEGIES, 2, 1, 1))
    blobs = np.exp(-((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2) / (side / 8) ** 2)
    strength = rng.gamma(4, 0.25, (n, 1, 1))
    found = strength * blobs[rng.integers(STRATEGIES, size=n)] + rng.normal(0, 0.15, (n, side, side))
    found[: n // 20 if marked else 0, :2, :2] += 2
    return found.astype(np.float32)[:, None]


def measure(root: Path, options: list[str]) -> None:
    """Run `backlight analyze` in a process of its own and print what it took and said."""
    start = time.monotonic()
    command = [sys.executable, "-m", "backlight", "analyze", str(root), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told = [(time.monotonic() - start, found) for line in process.stderr if (found := TOLD.search(line))]
    if process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(f"{seconds:.0f} s, {processor:.0f} CPU seconds, peak {used.ru_maxrss / 2**10:.0f} MiB")
    for share in (0.01, 0.1, 0.5):
        for at, found in told:
            if int(found[1]) >= share * int(found[2]):
                print(f"after {found[1]} of {found[2]}: {found[3]} left, and it took {seconds - at:.0f} s")
                break
    cache = sum(path.stat().st_size for path in (root / "cache").rglob("*.npz"))
    results = (root / ANALYSIS_FILE).stat().st_size
    print(f"results {results / 2**20:.1f} MiB, cache {cache / 2**20:.1f} MiB")


def main() -> None:
    """Write the run where there is none, analyse it, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=1300)
    parser.add_argument("--side", type=int, default=16)
    options, passed_on = parser.parse_known_args()
    if not options.root.exists():
        write_run(options.root, options.classes, options.samples, options.side)
    measure(options.root, [word for word in passed_on if word != "--"])
    findings = ranking(options.root / ANALYSIS_FILE, LabelMap([]))
    marked = f"{options.classes // 2:08d}"
    print(f"marked class: rank {[row.category for row in findings].index(marked) + 1} of {len(findings)}")


if __name__ == "__main__":
    main()
