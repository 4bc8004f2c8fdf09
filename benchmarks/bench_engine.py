"""What an explanation costs, as a ratio to a plain gradient of the same model and batch, run side by side.

    python benchmarks/bench_engine.py [--batch 4] [--size 224] [--device cuda] [--zennit] [--growth 200]

Time: median over rounds of explanation / gradient, each round running all of them once. Memory: peak above
what was held before, as a ratio to the gradient's (resident set on a CPU, allocator on a GPU). --zennit
also times its wheel and compares the maps (in float64) where both are defined; --growth runs that many
batches and compares the first with the last.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import backlight as bl
from bench_zoo import calibrate

MODELS = ("vgg16_bn", "resnet50", "vit_b_16")
M_MMAP_THRESHOLD = -3
BOUNDS = {
    "epsilon": 1.3,
    "epsilon-plus-flat": 1.8,
    "epsilon-gamma-box": 2.3,
    "epsilon-alpha2-beta1-flat": 2.4,
}


def build(name: str, size: int, device: str) -> nn.Module:
    """Return the model with random weights whose activations have a realistic scale."""
    import torchvision.models as zoo

    options = {"image_size": size} if name.startswith("vit") else {}
    torch.manual_seed(0)
    model = zoo.get_model(name, weights=None, **options).eval()
    calibrate(model, torch.randn(2, 3, size, size), biases=True)
    return model.to(device)


def gradient(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """Return the plain gradient: one forward pass and one backward pass to the input."""
    leaf = images.clone().requires_grad_()
    output = model(leaf).gather(1, target[:, None]).sum()
    return torch.autograd.grad(output, leaf)[0]


def explanation(model: nn.Module, composite: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the explanation of a batch by a reused explainer."""
    bounds = {"low": -3.0, "high": 3.0} if composite.endswith("box") else {}
    explainer = bl.Explainer(model, composite=bl.composite(composite, **bounds))
    return lambda images, target: explainer.explain(images, target).relevance


def incumbent(model: nn.Module, composite: str) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the same explanation by zennit's wheel, or None where it has no such composite or canonizer."""
    from zennit import canonizers, composites, rules, torchvision, types
    from zennit.attribution import Gradient
    from zennit.layer import Sum

    name = type(model).__name__
    canonizer = {"VGG": canonizers.SequentialMergeBatchNorm}.get(name)
    if name == "ResNet":
        canonizer = torchvision.ResNetCanonizer
    if canonizer is None:
        return None
    if composite == "epsilon":
        layers = [
            (types.Activation, rules.Pass()),
            (types.AvgPool, rules.Norm()),
            (Sum, rules.Norm()),
            (types.Linear, rules.Epsilon()),
        ]
        made = composites.LayerMapComposite(layer_map=layers, canonizers=[canonizer()])
    elif composite == "epsilon-gamma-box":
        made = composites.EpsilonGammaBox(low=-3.0, high=3.0, canonizers=[canonizer()])
    else:
        kinds = {
            "epsilon-plus-flat": composites.EpsilonPlusFlat,
            "epsilon-alpha2-beta1-flat": composites.EpsilonAlpha2Beta1Flat,
        }
        made = kinds[composite](canonizers=[canonizer()])

    def explain(images: Tensor, target: Tensor) -> Tensor:
        def seed(output: Tensor) -> Tensor:
            return torch.zeros_like(output).scatter_(
                1, target[:, None], output.detach().gather(1, target[:, None])
            )

        with Gradient(model=model, composite=made) as attributor:
            return attributor(images, seed)[1]

    return explain


def difference(name: str, composite: str, options: argparse.Namespace) -> float:
    """Return how far the two maps are apart, relative to the largest relevance, in float64.

    Batch norm's epsilon is moved into its variance first: zennit's merged ones divide by √(1 + 1e-5) again.
    """
    model = build(name, 64, options.device).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var += module.eps
            module.eps = 0.0
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64, device=options.device)
    target = torch.zeros(1, dtype=torch.int64, device=options.device)
    theirs = incumbent(model, composite)
    assert theirs is not None
    ours, other = explanation(model, composite)(images, target), theirs(images, target)
    return float((ours - other).abs().amax() / other.abs().amax())


def seconds(run: Callable[[], object], device: str) -> float:
    """Return the wall time of one call."""
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak(run: Callable[[], object], device: str) -> float:
    """Return the bytes that one call held at most, beyond those held before; NaN where unknown."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    if not sys.platform.startswith("linux"):
        return float("nan")
    libc = ctypes.CDLL(None)
    # Every tensor gets pages of its own, so that what the heap keeps between two tensors is not counted.
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)
    run()
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    held = _status("VmHWM") - before
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)  # the largest there is, which allocation settles at by itself
    return held


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith(key))


def compare(name: str, options: argparse.Namespace) -> None:
    """Print one model's rows."""
    model = build(name, options.size, options.device)
    images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    with torch.no_grad():
        target = model(images).argmax(1)
    runs: dict[str, Callable[[], Tensor]] = {"gradient": lambda: gradient(model, images, target)}
    for composite in options.composites.split(","):
        ours = explanation(model, composite)
        runs[composite] = lambda ours=ours: ours(images, target)
        theirs = incumbent(model, composite) if options.zennit else None
        if theirs is not None:
            runs[f"zennit {composite}"] = lambda theirs=theirs: theirs(images, target)
    for run in runs.values():
        run()  # warm-up: derived weights are made here
    times: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(options.rounds):
        for key, run in runs.items():
            times[key].append(seconds(run, options.device))
    base = peak(runs["gradient"], options.device)
    plain = statistics.median(times["gradient"])
    for key, run in runs.items():
        if key == "gradient" or key.startswith("zennit"):
            continue
        ratio = statistics.median(t / g for t, g in zip(times[key], times["gradient"], strict=True))
        other, error = "–", "–"
        if (rival := f"zennit {key}") in runs:
            theirs = statistics.median(t / g for t, g in zip(times[rival], times["gradient"], strict=True))
            other, error = (
                f"{theirs:.2f} ({theirs / ratio:.1f}x ours)",
                f"{difference(name, key, options):.1e}",
            )
        bound = BOUNDS.get(key, float("nan"))
        memory = peak(run, options.device) / base
        verdict = "met" if ratio <= bound else "MISSED"
        print(
            f"| {name} | {key} | {plain * 1e3:.0f} ms | {ratio:.2f} | {bound} {verdict} | {memory:.2f} "
            f"| {other} | {error} |",
            flush=True,
        )


def grow(name: str, options: argparse.Namespace) -> None:
    """Explain many different batches and print how time and memory changed."""
    model = build(name, options.size, options.device)
    explain = explanation(model, "epsilon-gamma-box")
    times, held = [], []
    for batch in range(options.growth):
        images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
        target = torch.full((options.batch,), batch % 10, device=options.device)
        times.append(seconds(lambda images=images, target=target: explain(images, target), options.device))
        held.append(torch.cuda.memory_allocated() if options.device == "cuda" else _status("VmRSS"))
    n = max(options.growth // 10, 1)
    early, late = statistics.median(times[n : 3 * n]), statistics.median(times[-2 * n :])
    print(
        f"{name}: {options.growth} batches, time {early * 1e3:.0f} → {late * 1e3:.0f} ms, "
        f"held {held[2 * n] / 2**20:.0f} → {held[-1] / 2**20:.0f} MiB"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--composites", default=",".join(BOUNDS))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--zennit", action="store_true", help="also run zennit's wheel (extra: bench)")
    parser.add_argument("--growth", type=int, default=0, metavar="BATCHES")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.growth:
        for name in options.models.split(","):
            grow(name, options)
        return
    print("| model | composite | gradient | ratio | bound | memory ratio | zennit | difference |")
    print("|---" * 8 + "|")
    for name in options.models.split(","):
        compare(name, options)


if __name__ == "__main__":
    main()
