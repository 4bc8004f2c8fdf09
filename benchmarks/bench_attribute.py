"""Images a second of a whole run on JPEG files against a bare loop over tensors in memory, and its memory.

The bare loop explains the same batches, already decoded and normalised, and keeps nothing; the run reads
files, writes shards with checksums, joins them and writes the project. Both take turns in rounds, so that a
busy machine slows both. Processor time is told too: what the run adds cannot hide behind a model that takes
all cores. The command's own start, a fixed cost, is timed apart. Memory is the peak of a process that
attributes CIFAR-sized pictures, for two sizes of dataset.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from backlight.core.explainer import Explainer
from backlight.core.run import Output, attribute_dataset
from backlight.core.run.preparing import prepare
from backlight.core.run.reading import read_batch
from backlight.core.run_config import Config

MEMORY = """
import sys
sys.path.insert(0, {folder!r})
from bench_attribute import memory
memory({n}, {out!r})
"""


def pictures(folder, count, shape=(375, 500)):
    """Write smooth random JPEG files as large as ImageNet's, which compress and decode as photographs do."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-12, 13, image.shape, dtype=np.int16)
        path = folder / f"class{number % 4}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def timed(task):
    """Return seconds and processor seconds of a call."""
    start, cpu = time.perf_counter(), time.process_time()
    task()
    return time.perf_counter() - start, time.process_time() - cpu


def throughput(model, options):
    """Print what one model reaches; every round has its own pictures and its own run."""
    size, rounds = options.count // options.rounds, []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pictures(folder / "pictures", size)
            config = configured(model, options, folder)
            ready = prepare(config)
            shape = (options.side, options.side, 3)
            batches = [
                read_batch(ready.source, ready.settings, range(k, min(k + options.batch, size)), shape)
                for k in range(0, size, options.batch)
            ]
            bare = Explainer(ready.explainer.model, composite=ready.explainer.composite)
            for explainer in (bare, ready.explainer):  # weights derived for the rules are there
                explainer.explain(batches[0].inputs, 0)

            def loop(batches=batches, bare=bare):
                for each in batches:
                    bare.explain(each.inputs, torch.from_numpy(each.labels))

            def whole(ready=ready, folder=folder):
                attribute_dataset(
                    ready.explainer, ready.source, folder / "run", ready.settings, described=ready.described
                )

            reading = timed(
                lambda r=ready, s=size: [r.settings.preprocessing.fit(r.source.picture(k)) for k in range(s)]
            )
            order = (loop, whole) if number % 2 == 0 else (whole, loop)
            found = {task.__name__: timed(task) for task in order}
            rounds.append((*found["loop"], *found["whole"], reading[1]))
    done = size * options.rounds
    bare, bare_cpu, run, run_cpu, read_cpu = (sum(column) / done for column in zip(*rounds, strict=True))
    ratios = [r[0] / r[2] for r in rounds]
    print(
        f"{model}, {options.side}², {done} pictures in {options.rounds} rounds, batch {options.batch}, "
        f"{torch.get_num_threads()} threads, compression {options.compression}:\n"
        f"  bare loop {1 / bare:.2f}/s, whole run {1 / run:.2f}/s: {bare / run:.0%} of it "
        f"(rounds {min(ratios):.0%} to {max(ratios):.0%}, median {statistics.median(ratios):.0%})\n"
        f"  processor time a picture: bare {bare_cpu * 1e3:.1f} ms, run {run_cpu * 1e3:.1f} ms "
        f"({bare_cpu / run_cpu:.0%}), of which reading and resizing {read_cpu * 1e3:.1f} ms"
    )


def own(options):
    """Print what a run costs beside its model: one that is next to nothing, on the same pictures."""
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * options.side**2, 10))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder / "pictures", options.count)
        source = prepare(configured("resnet18", options, folder)).source
        for compression in ("none", "lzf", "gzip"):
            settings = prepare(configured("resnet18", options, folder)).settings
            settings = replace(settings, output=Output(compression=compression))
            root = folder / compression
            seconds = timed(lambda r=root, s=settings: attribute_dataset(Explainer(model), source, r, s))[1]
            size = sum(path.stat().st_size for path in root.rglob("*.h5")) / options.count
            print(
                f"beside the model, compression {compression}: {seconds / options.count * 1e3:.1f} ms of "
                f"processor time a picture, {size / 1e3:.0f} kB on disk"
            )


def configured(model, options, folder):
    """Return the config of a run over the pictures in a folder."""
    return Config(
        model=model,
        data=str(folder / "pictures"),
        out=str(folder / "run"),
        size=(options.side, options.side),
        resize=options.side * 8 // 7,
        batch_size=options.batch,
        shard_size=max(options.batch, options.count // options.rounds // 2),
        compression=options.compression,
    )


def starting(model, options):
    """Print how long the command takes for a single batch: start, imports, model, and the run's two files."""
    with tempfile.TemporaryDirectory() as name:
        pictures(Path(name) / "pictures", options.batch)
        command = [sys.executable, "-m", "backlight", "attribute", "--quiet", "--model", model]
        command += ["--data", f"{name}/pictures", "--out", f"{name}/run", "--size", str(options.side)]
        seconds = timed(lambda: subprocess.run([*command, "--batch-size", str(options.batch)], check=True))[0]
    print(f"{model}: the command on one batch of {options.batch} takes {seconds:.1f} s")


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
    """Attribute `count` small pictures and print how much memory that took: at most, and by and by, in MB."""
    from torch import nn

    from backlight.core.run import Settings
    from backlight.core.sources.data import DatasetSource

    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 15, 10))
    source = DatasetSource(Small(count), "small")
    held = {}

    def note(done, total, name, failed):
        held.setdefault(done * 5 // total, in_memory("VmRSS"))

    attribute_dataset(
        Explainer(model, composite="epsilon"), source, Path(out), Settings(shard_size=512), progress=note
    )
    print(in_memory("VmHWM"), *held.values())  # ru_maxrss would count the parent's memory too


def in_memory(what):
    """Return what the kernel says about this process's memory, in MB."""
    return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def peaks(counts):
    """Print and return the peak, in MB, of a process for each size of dataset."""
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            code = MEMORY.format(folder=str(Path(__file__).parent), n=count, out=f"{folder}/run")
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peak, *held = map(float, done.stdout.split())
        found.append(peak)
        course = ", ".join(f"{each:.0f}" for each in held)
        print(f"{count:6d} CIFAR-sized pictures: peak {peak:.0f} MB; by fifths of the run {course} MB")
    print(f"largest over smallest: {max(found) / min(found):.3f}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=["resnet18"])
    parser.add_argument("--count", type=int, default=64, help="pictures of the throughput test")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--compression", default=Config.compression)
    parser.add_argument("--threads", type=int, help="of the model; default: torch's own choice")
    parser.add_argument("--memory", type=int, nargs="*", default=[500, 2000], help="sizes of the memory test")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    own(options)
    for model in options.models:
        throughput(model, options)
        starting(model, options)
    if options.memory:
        peaks(options.memory)


if __name__ == "__main__":
    main()
