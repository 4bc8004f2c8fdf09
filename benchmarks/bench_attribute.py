"""Images a second of a whole run on JPEG files against a bare loop over tensors in memory, and its memory.

The bare loop explains the same batches, already decoded and normalised, and keeps nothing; the run
reads files, writes shards with checksums, joins them and writes the project. Processor time is told too: the
part that a busy machine cannot hide behind the model. Memory is the peak of a process that attributes
CIFAR-sized pictures, for two sizes of dataset.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from backlight.core.explainer import Explainer
from backlight.core.run import attribute_dataset
from backlight.core.run.preparing import prepare
from backlight.core.run.reading import read_batch
from backlight.core.run_config import Config

MEMORY = """
import sys
sys.path.insert(0, {folder!r})
from bench_attribute import memory
memory({n}, {out!r})
"""


def pictures(folder, count, side):
    """Write smooth random JPEG files, which compress and decode as photographs do."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side + side // 4, side), Image.Resampling.BICUBIC)
        path = folder / f"class{number % 4}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)


def throughput(model, count, batch, side, threads):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder / "pictures", count, side * 8 // 7)
        config = Config(
            model=model,
            data=str(folder / "pictures"),
            out=str(folder / "run"),
            size=(side, side),
            batch_size=batch,
            shard_size=max(batch, count // 4),
        )
        ready = prepare(config)
        batches = [
            read_batch(ready.source, ready.settings, range(k, min(k + batch, count)), (side, side, 3))
            for k in range(0, count, batch)
        ]
        bare_explainer = Explainer(ready.explainer.model, composite=ready.explainer.composite)
        bare_explainer.explain(batches[0].inputs, 0)
        start, cpu = time.perf_counter(), time.process_time()
        for each in batches:
            bare_explainer.explain(each.inputs, torch.from_numpy(each.labels))
        bare, bare_cpu = count / (time.perf_counter() - start), time.process_time() - cpu
        del batches
        start, cpu = time.perf_counter(), time.process_time()
        attribute_dataset(
            ready.explainer, ready.source, folder / "run", ready.settings, described=ready.described
        )
        whole, whole_cpu = count / (time.perf_counter() - start), time.process_time() - cpu
    print(
        f"{model}, {side}², batch {batch}, threads {threads}: bare {bare:.2f}/s, whole {whole:.2f}/s "
        f"({whole / bare:.0%}); processor time each {bare_cpu / count:.3f} s, {whole_cpu / count:.3f} s"
    )


class Small:
    """CIFAR-sized noise, made when asked for."""

    def __init__(self, count):
        self.targets, self.classes = [n % 10 for n in range(count)], [str(n) for n in range(10)]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, number):
        picture = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return picture, self.targets[number]


def memory(count, out):
    """Attribute `count` small pictures and print how much memory that took at most, in MB."""
    from torch import nn

    from backlight.core.run import Settings
    from backlight.core.sources.data import DatasetSource

    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, 10))
    source = DatasetSource(Small(count), "small")
    attribute_dataset(Explainer(model, composite="epsilon"), source, Path(out), Settings(shard_size=512))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's memory too
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)


def peaks(counts):
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            code = MEMORY.format(folder=str(Path(__file__).parent), n=count, out=f"{folder}/run")
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found.append(float(done.stdout))
        print(f"{count:6d} CIFAR-sized pictures: peak {found[-1]:.0f} MB")
    print(f"largest over smallest: {max(found) / min(found):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["resnet18"])
    parser.add_argument("--count", type=int, default=32, help="pictures of the throughput test")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument(
        "--threads", type=int, default=1, help="of the model; reading and writing have their own"
    )
    parser.add_argument("--memory", type=int, nargs="*", default=[500, 2000], help="sizes of the memory test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for model in options.models:
        throughput(model, options.count, options.batch, options.side, options.threads)
    if options.memory:
        peaks(options.memory)


if __name__ == "__main__":
    main()
