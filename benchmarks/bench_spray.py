"""What the front end of SpRAy costs: maps -> neighbours -> graph -> 32 eigenvectors, on clustered maps.

    python benchmarks/bench_spray.py [--sizes 20000x3072] [--neighbours 10] [--data noise|maps]
                                     [--reference] [--approximate] [--incumbent]

Every size runs in a process of its own, so that the peak of its memory is its own; what the maps themselves
take is printed beside it. --data: eight clusters, within which maps differ by independent noise in every
pixel ("noise", no neighbour is much nearer than others) or by a few dozen patterns and a little noise
("maps", as relevance maps do). --reference also times scikit-learn's brute-force neighbours and scipy's
eigsh on the same graph, and compares the neighbours. --approximate also times approximate-knn and says what
share of the exact neighbours it finds (recall). --incumbent also times CoRelAy's SpectralEmbedding on the
same maps, in another process (`pip install corelay`, not part of any extra: it is GPL), and prints the ratio.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

CLUSTERS = 8
PATTERNS = 48
EIGENVECTORS = 32


def clustered_maps(n: int, d: int, seed: int = 0, data: str = "noise") -> np.ndarray:
    """Return (n, 1, 1, d) float32 maps around a few centres, as relevance is: mostly small, not negative."""
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.3, size=(CLUSTERS, d)).astype(np.float32)
    maps = rng.standard_normal((n, d), dtype=np.float32)
    np.multiply(maps, 0.3 if data == "noise" else 0.1, out=maps)
    patterns = rng.standard_normal((PATTERNS, d), dtype=np.float32)
    patterns *= 0.3 / np.sqrt(np.arange(1, PATTERNS + 1, dtype=np.float32))[:, None]
    for start in range(0, n, 1000):
        part = maps[start : start + 1000]
        part += centres[rng.integers(CLUSTERS, size=len(part))]
        if data == "maps":
            part += rng.standard_normal((len(part), PATTERNS), dtype=np.float32) @ patterns
    return maps.reshape(n, 1, 1, d)


def measure(n: int, d: int, options: argparse.Namespace) -> dict[str, float]:
    """Return seconds per stage and peak memory in GiB for one size."""
    from backlight.core.pipeline import pipeline

    maps = clustered_maps(n, d, data=options.data)
    steps = pipeline("spray", neighbours=options.neighbours, eigenvalues=EIGENVECTORS, grid=max(n, d))
    pipeline("spray", until="spectral")(clustered_maps(50, 16))  # what is loaded on first use
    seconds = {}
    values = {"relevance": maps}
    for name in ("normalise", "flatten", "knn", "knn-affinity", "laplacian", "spectral"):
        processor = steps.step(name).processor
        start = time.perf_counter()
        values |= processor(**{port: values[port] for port in processor.needs()})
        seconds[name] = time.perf_counter() - start
    del values["relevance"], maps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    front = sum(seconds[name] for name in ("knn", "knn-affinity", "laplacian", "spectral"))
    result = {
        "total": sum(seconds.values()),
        "front": front,
        "peak": peak,
        "maps": 4 * n * d / 2**30,
    } | seconds
    result |= by_reference(values, options.neighbours) if options.reference else {}
    return result | (by_cells(values, options.neighbours) if options.approximate else {})


def by_cells(values: dict[str, np.ndarray], neighbours: int) -> dict[str, float]:
    """Return the seconds of approximate neighbours, and the share of the exact ones among them."""
    from backlight.plugins.processors.approximate import ApproximateKnn

    step = ApproximateKnn(neighbours, seed=0)
    start = time.perf_counter()
    found = step(features=values["features"])
    seconds = time.perf_counter() - start
    both = zip(found["neighbours"], values["neighbours"], strict=True)
    recall = np.mean([len(np.intersect1d(a, b)) for a, b in both]) / neighbours
    return {"approximate-knn": seconds, "recall": float(recall), "recall-claimed": found["recall"]}


def measure_incumbent(n: int, d: int, options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of CoRelAy's default front end with as many neighbours, and the peak in GiB."""
    from corelay.pipeline.spectral import SpectralEmbedding
    from corelay.processor.affinity import SparseKNN

    maps = clustered_maps(n, d, data=options.data).reshape(n, d)
    maps /= np.abs(maps).sum(axis=1, keepdims=True)
    pipeline = SpectralEmbedding(affinity=SparseKNN(n_neighbors=options.neighbours, symmetric=True))
    pipeline(maps[:100])
    start = time.perf_counter()
    pipeline(maps)
    seconds = time.perf_counter() - start
    return {
        "incumbent": seconds,
        "incumbent-peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def by_reference(values: dict[str, np.ndarray], neighbours: int) -> dict[str, float]:
    """Return the seconds of scikit-learn and scipy for the same, and the share of equal neighbours."""
    from scipy.sparse.linalg import eigsh
    from sklearn.neighbors import NearestNeighbors

    start = time.perf_counter()
    model = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(values["features"])
    index = model.kneighbors(values["features"], return_distance=False)[:, 1:]
    found = time.perf_counter()
    eigsh(values["laplacian"], k=EIGENVECTORS, which="SM")
    done = time.perf_counter()
    return {
        "sklearn-knn": found - start,
        "eigsh-SM": done - found,
        "equal": float(np.mean(index == values["neighbours"])),
    }


def main() -> None:
    """Measure every size in a process of its own and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["1000x3072", "5000x3072"], metavar="NxD")
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--data", choices=["noise", "maps"], default="noise")
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--approximate", action="store_true")
    parser.add_argument("--incumbent", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--who", choices=["ours", "incumbent"], default="ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        n, d = map(int, options.one.split("x"))
        print(json.dumps((measure if options.who == "ours" else measure_incumbent)(n, d, options)))
        return
    for size in options.sizes:
        row = alone(size, "ours")
        if options.incumbent:
            row |= alone(size, "incumbent")
            row["ratio"] = row["incumbent"] / row["front"]  # both start from normalised rows
        shown = "  ".join(
            f"{name} {value:.{3 if 'recall' in name else 2}f}"
            for name, value in row.items()
            if name not in ("peak", "maps")
        )
        print(f"{size:>12}: {shown}  peak {row['peak']:.2f} GiB (maps {row['maps']:.2f} GiB)", flush=True)


def alone(size: str, who: str) -> dict[str, float]:
    """Return what a process of its own measured, started with this one's options."""
    command = [sys.executable, __file__, *sys.argv[1:], "--one", size, "--who", who]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(output.stdout)


if __name__ == "__main__":
    main()
