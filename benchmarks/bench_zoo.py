"""The zoo: every classification builder of torchvision.models (and some of timm), no canonizer named by hand.

Prints one line per model: whether it ran, how well each composite conserved relevance, how well the first
one's map agrees with gradient x input where the two must be equal, and whether the model is bit-identical
afterwards.

    python benchmarks/bench_zoo.py [--only GLOB]… [--timm] [--composites NAME[:EPSILON],…]

Weights are random, at a realistic scale: on one batch, every batch norm is given the second moment of its
input as its variance and zero mean, and every other layer is scaled to unit output. With default random
weights the activations of MobileNet or EfficientNet vanish and the stabiliser takes all relevance. Whatever
acts as a bias is zero: biases, running means, positional embeddings, class tokens; LRP-epsilon should then
conserve within 1 %. Random nets with depthwise convolutions shatter: their maps sum to the logit although
their absolute values reach 1e7 times as much, so that the default stabiliser of 1e-6 alone moves the sum by
more than 1 %; hence epsilon:1e-9.
"""

from __future__ import annotations

import argparse
import fnmatch
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import backlight as bl

COMPOSITES = ("epsilon:1e-9", "epsilon", "epsilon-gamma-box", "epsilon-plus")
LIMIT = 300e6
"""Parameters above which a model is left out."""
TOLERANCE = 0.01

_HOMOGENEOUS = {"relu", "leaky_relu", "prelu"}
_LINEAR = {
    "linear",
    "convolution",
    "average-pool",
    "sum",
    "scale",
    "batch-norm",
    "route",
    "activation",
    "max-pool",
}
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONSTANTS = ("class_token", "cls_token", "dist_token", "reg_token", "pos_emb")

TIMM = (
    "convmixer_768_32", "mixer_s32_224", "resmlp_12_224", "gmixer_12_224", "poolformer_s12",
    "edgenext_xx_small", "nfnet_f0", "repvgg_a0", "deit_tiny_patch16_224", "pit_ti_224",
    "coatnet_nano_rw_224", "xcit_nano_12_p16_224", "levit_128s", "hrnet_w18_small", "dla34", "ghostnet_100",
    "mobilevit_xxs", "dpn68", "res2net50_26w_4s", "ese_vovnet19b_dw", "cspresnet50", "tresnet_m",
    "eva02_tiny_patch14_224", "efficientformer_l1", "fastvit_t8", "tf_efficientnetv2_b0",
    "crossvit_tiny_240", "volo_d1_224", "twins_svt_small", "beit_base_patch16_224",
)  # fmt: skip


@dataclass
class Row:
    """What happened to one model. kept: composite -> relevance returned / received."""

    name: str
    ran: bool = False
    kept: dict[str, float] = field(default_factory=dict)
    correlation: float | None = None
    identical: bool = False
    reason: str = ""
    seconds: float = 0.0


def builders() -> dict[str, Callable[..., nn.Module]]:
    """Return every classification builder of torchvision, by name."""
    import torchvision.models as zoo

    return {name: zoo.get_model_builder(name) for name in zoo.list_models(zoo)}


def build(name: str, classes: int = 10) -> tuple[nn.Module, int]:
    """Return the model (random weights) and the edge length of its images, as small as it allows."""
    options: dict[str, object] = {"num_classes": classes}
    size = 64
    if name.startswith("vit_"):
        size = 28 * 4 if name.endswith("14") else 64
        options["image_size"] = size
    elif name.startswith("maxvit"):
        size = 224
    elif name.startswith("inception"):
        size = 75
    if name.startswith(("inception", "googlenet")):
        options |= {"init_weights": False, "aux_logits": True}
    return builders()[name](weights=None, **options).eval(), size


def build_timm(name: str, classes: int = 10) -> tuple[nn.Module, int]:
    """Return a timm model and its own image size."""
    import timm

    model = timm.create_model(name, pretrained=False, num_classes=classes).eval()
    return model, model.default_cfg["input_size"][-1]


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, biases: bool = False) -> None:
    """Give random weights a realistic scale, and zero whatever acts as a bias unless `biases`."""
    for name, parameter in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        if not biases and (last.endswith(("bias", "beta")) or any(c in name for c in _CONSTANTS)):
            parameter.zero_()
        elif "layer_scale" in name or last in ("gamma", "gamma_1", "gamma_2", "gamma1", "gamma2", "gamma3"):
            parameter.fill_(1.0)
        elif parameter.ndim > 1 and not parameter.any():
            nn.init.trunc_normal_(parameter, std=0.02)

    def second_moment(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0]
        axes = [d for d in range(x.ndim) if d != 1]
        module.running_mean.zero_()
        module.running_var.copy_(x.square().mean(axes).clamp(min=1e-6))
        if module.affine:
            module.weight.fill_(1.0)

    def unit_output(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        scale = output.square().mean().sqrt().clamp(min=1e-12)
        module.weight /= scale
        return output / scale

    handles = []
    for module in model.modules():
        if isinstance(module, _NORMS) and module.track_running_stats:
            handles.append(module.register_forward_pre_hook(second_moment))
        elif isinstance(module, _LAYERS):
            handles.append(module.register_forward_hook(unit_output))
    model(images)
    for handle in handles:
        handle.remove()


def fingerprint(model: nn.Module) -> list[tuple[object, ...]]:
    """Return all that an explanation must leave as it was: keys, values, identities, hooks, flags."""
    found: list[tuple[object, ...]] = [
        (k, id(t), t.data_ptr(), t._version, t.requires_grad, float(t.detach().double().sum()))
        for k, t in (*model.named_parameters(), *model.named_buffers())
    ]
    found += [(k, str(t.shape)) for k, t in model.state_dict().items()]
    found += [
        (name, id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for name, m in model.named_modules()
    ]
    return found


def is_piecewise_linear(coverage: bl.Coverage | object) -> bool:
    """Say whether all operations are linear or homogeneous, so that LRP-0 is gradient x input."""
    for covered in coverage.operations:
        site = covered.site
        if site.kind not in _LINEAR or (site.kind == "activation" and site.name not in _HOMOGENEOUS):
            return False
    return True


def examine(name: str, model: nn.Module, images: Tensor, composites: tuple[str, ...]) -> Row:
    """Explain `images` by every composite and compare."""
    row = Row(name)
    start = time.perf_counter()
    try:
        calibrate(model, images)
        with torch.no_grad():
            before, state = model(images), fingerprint(model)
        for composite in composites:
            preset, _, size = composite.partition(":")
            chosen = bl.composite(preset, **({"epsilon": float(size)} if size else {}))
            found = bl.attribute(model, images, composite=chosen)
            received = found.output.gather(1, found.target[:, None])[:, 0]
            returned = found.relevance.sum(dim=tuple(range(1, found.relevance.ndim)))
            row.kept[composite] = float((returned / received - 1).abs().max())
            if composite == composites[0]:
                row.reason = "; ".join(
                    sorted({f"{c.site.kind} {c.site.name}" for c in found.coverage.uncovered})
                )
                if is_piecewise_linear(found.coverage):
                    leaf = images.clone().requires_grad_()
                    (grad,) = torch.autograd.grad(model(leaf).gather(1, found.target[:, None]).sum(), leaf)
                    pair = torch.stack([found.relevance.flatten(), (leaf * grad).detach().flatten()])
                    row.correlation = float(torch.corrcoef(pair)[0, 1])
        with torch.no_grad():
            row.identical = fingerprint(model) == state and torch.equal(model(images), before)
        row.ran = True
    except Exception as error:
        row.reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    row.seconds = time.perf_counter() - start
    return row


def rows(
    names: list[str], make: Callable[[str], tuple[nn.Module, int]], composites: tuple[str, ...]
) -> Iterator[Row]:
    """Examine every model that is not too large."""
    for name in names:
        torch.manual_seed(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model, size = make(name)
        except Exception as error:
            yield Row(name, reason=f"cannot be built: {' '.join(str(error).split())[:120]}")
            continue
        if sum(p.numel() for p in model.parameters()) > LIMIT:
            continue
        images = torch.randn(2, 3, size, size, dtype=torch.float64)
        yield examine(name, model.double(), images, composites)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", action="append", default=[], metavar="GLOB")
    parser.add_argument("--timm", action="store_true")
    parser.add_argument("--composites", default=",".join(COMPOSITES))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    composites = tuple(options.composites.split(","))
    names = TIMM if options.timm else list(builders())
    wanted = [n for n in names if not options.only or any(fnmatch.fnmatch(n, g) for g in options.only)]
    print("| model | ran |", " | ".join(composites), "| correlation | identical | seconds | remark |")
    print("|---" * (6 + len(composites)) + "|")
    total, good = 0, dict.fromkeys(composites, 0)
    for row in rows(wanted, build_timm if options.timm else build, composites):
        total += 1
        for composite, error in row.kept.items():
            good[composite] += error <= TOLERANCE
        errors = " | ".join(f"{row.kept[c]:.1e}" if c in row.kept else "–" for c in composites)
        correlation = "–" if row.correlation is None else f"{row.correlation:.6f}"
        ran, same = ("yes" if flag else "NO" for flag in (row.ran, row.identical))
        print(
            f"| {row.name} | {ran} | {errors} | {correlation} | {same} | {row.seconds:.1f} | {row.reason} |",
            flush=True,
        )
    print("\nwithin 1 %:", ", ".join(f"{c} {n} of {total}" for c, n in good.items()))


if __name__ == "__main__":
    main()
