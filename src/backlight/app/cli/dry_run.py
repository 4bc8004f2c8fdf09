"""`backlight attribute --dry-run`: what would be done, what the rules cover, what it would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backlight.app.cli.progress import duration

if TYPE_CHECKING:
    from backlight.core.run_config import Config


def show(config: Config, as_json: bool) -> None:
    """Print the resolved config, the coverage of the model and an estimate; write nothing."""
    import dataclasses

    from backlight.core.run.estimate import estimate
    from backlight.core.run.identity import coverage_facts
    from backlight.core.run.preparing import prepare
    from backlight.core.run_config import FIELDS, resolved

    ready = prepare(config, trial=True)
    cost = estimate(ready.explainer, ready.source, ready.settings)
    covered = coverage_facts(cost.coverage)
    notes = (*ready.notes, *ready.source.notes())
    whole = resolved(config, dataclasses.asdict(ready.settings.preprocessing), ready.settings.decoders)
    if as_json:
        report = {"config": whole, "coverage": covered, "samples": cost.samples}
        report |= {"seconds": cost.seconds, "bytes": cost.size, "notes": notes}
        click.echo(json.dumps({"event": "dry-run", **report}))
        return
    for key in FIELDS:
        if key in whole:
            click.echo(f"{key} = {json.dumps(whole[key], ensure_ascii=False)}")
    click.echo()
    for note in notes:
        click.echo(f"note: {note}")
    counts = ", ".join(f"{number} {treatment}" for treatment, number in covered["counts"].items())
    click.echo(f"operations: {counts or 'a plain gradient looks at none'}")
    click.echo(f"canonizers: {', '.join(covered['canonizers']) or 'none'}")
    for line in covered["uncovered"]:
        click.echo(f"no rule covers {line}")
    click.echo(f"samples: {cost.samples} in {-(-cost.samples // config.shard_size)} shards")
    click.echo(f"time: about {duration(cost.seconds)} on {config.device}")
    click.echo(f"disk: at most {size(cost.size)} in {Path(config.out)}")


def size(number: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
