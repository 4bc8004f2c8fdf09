"""`backlight coverage`: what a composite does with every operation of a model, and where relevance leaks."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backlight.app.cli.columns import aligned

if TYPE_CHECKING:
    from torch import Tensor

    from backlight.core.coverage import Audited, Covered

HEAD = ("#", "operation", "module", "treatment", "rule", "share", "leaked", "where to")


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--weights", type=click.Path(path_type=Path), help="A .safetensors file or checkpoint of tensors."
)
@click.option("--classes", type=click.IntRange(min=1), help="Number of outputs, passed as num_classes.")
@click.option(
    "--composite", default="epsilon-plus", show_default=True, metavar="NAME", help="A preset, rule or file."
)
@click.option(
    "--shape",
    default="3x224x224",
    show_default=True,
    metavar="CxHxW",
    help="Of one sample, without the batch; random values, the same each time.",
)
@click.option("--image", type=click.Path(path_type=Path), help="A picture to explain instead.")
@click.option(
    "--target", type=click.IntRange(min=0), help="The explained class; the predicted one by default."
)
@click.option(
    "--strict", is_flag=True, help="Fail, naming them, if there are operations that no rule covers."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    model: str,
    weights: Path | None,
    classes: int | None,
    composite: str,
    shape: str,
    image: Path | None,
    target: int | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Show the rule that takes each operation of MODEL, its share of the relevance and what leaks there.

    MODEL is a torchvision model, timm/NAME, package.module:factory or file.py:factory. Shares are in percent
    of the explained output; relevance leaks to the bias, to constant summands, to the stabiliser, or is
    dropped where a rule hands it to nobody. Everything is computed in float64.
    """
    import torch

    from backlight.core.explainer import attribute
    from backlight.core.sources.models import load_model

    torch.manual_seed(0)
    network = load_model(model, weights, **({"num_classes": classes} if classes else {})).double().eval()
    inputs = _sample(shape, image)
    found = attribute(network, inputs, target, composite=composite, strict=strict)
    audit = found.audit()
    told: dict[Any, list[Audited]] = defaultdict(list)
    for audited in audit.operations:
        told[audited.site].append(audited)
    lines = [_line(c, told[c.site], audit.received) for c in found.coverage.operations]
    if as_json:
        summary = {
            "canonizers": list(found.coverage.canonizers),
            "counts": found.coverage.counts,
            "received": audit.received,
            "returned": audit.returned,
            "error": audit.error,
        }
        click.echo(json.dumps({"operations": lines, **summary}, indent=1))
        return
    _print(lines)
    counts = ", ".join(f"{n} {t}" for t, n in found.coverage.counts.items())
    click.echo(
        f"\n{len(lines)} operations: {counts}; canonizers: {', '.join(found.coverage.canonizers) or 'none'}"
    )
    click.echo(
        f"relevance {audit.received:.6g} of class {int(found.target[0])} at the output, "
        f"{audit.returned:.6g} at the input ({audit.error:.2%} off)"
    )


def _sample(shape: str, image: Path | None) -> Tensor:
    """Return one sample (1, C, H, W) in float64: a picture, or fixed random values."""
    import torch

    from backlight.core.sources.data import read_picture
    from backlight.core.sources.preprocessing import Preprocessing

    sizes = shape.lower().split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise click.BadParameter(f"{shape!r} is not a shape such as 3x224x224", param_hint="--shape")
    axes = [int(size) for size in sizes]
    if image is None:
        return torch.randn(1, *axes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if len(axes) != 3 or axes[0] != 3:
        raise click.BadParameter(f"{shape!r} is no shape of a picture, expected 3xHxW", param_hint="--shape")
    prepared = Preprocessing((axes[1], axes[2]))
    return prepared.inputs(prepared.fit(read_picture(image))[None]).double()


def _line(covered: Covered, audits: list[Audited], total: float) -> dict[str, Any]:
    """Return one operation as plain data; share and leaks in units of the explained output."""
    scale = total if abs(total) > 1e-30 else 1.0
    line: dict[str, Any] = {
        "index": covered.site.index,
        "operation": covered.site.name,
        "kind": covered.site.kind,
        "path": covered.site.path,
        "module": covered.site.module,
        "treatment": covered.treatment,
        "rule": covered.rule,
    }
    if audits:
        causes: dict[str, float] = defaultdict(float)
        for audited in audits:
            for cause, amount in audited.leaks.items():
                causes[cause] += amount / scale
        line["share"] = sum(a.received for a in audits) / scale
        line["leaked"] = dict(causes)
    return line


def _print(lines: list[dict[str, Any]]) -> None:
    rows = [HEAD]
    for line in lines:
        leaks = line.get("leaked", {})
        seen = {cause: amount for cause, amount in leaks.items() if abs(amount) >= 5e-6}
        where = ", ".join(f"{cause} {amount:+.3%}" for cause, amount in sorted(seen.items()))
        rows.append(
            (
                str(line["index"]) if line["index"] >= 0 else "-",
                line["operation"],
                line["path"] or f"({line['module']})",
                line["treatment"],
                line["rule"],
                f"{line['share']:.2%}" if "share" in line else "",
                f"{sum(leaks.values()):.3%}" if seen else "",
                where,
            )
        )
    for text in aligned(rows):
        click.echo(text)
