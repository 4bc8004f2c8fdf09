"""`backlight attribute`: explain every sample of a dataset into a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backlight.app.cli.options import config_options
from backlight.core.run_config import FIELDS, Config, build_config, read_config, to_toml

if TYPE_CHECKING:
    from backlight.core.run import Finished


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path), metavar="[RUN.TOML]")
@click.option("--config", "file", type=click.Path(path_type=Path), help="The same, as an option.")
@config_options(*FIELDS)
@click.option("--dry-run", is_flag=True, help="Show config, coverage, time and disk; write nothing.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print progress and result as JSON, an object a line.")
def command(
    config: Path | None, file: Path | None, dry_run: bool, quiet: bool, as_json: bool, **options: Any
) -> None:
    """Explain every sample of a dataset; the same command again continues a run that was stopped.

    RUN.TOML gives any of the options below as keys; an option given here wins.
    """
    if config is not None and file is not None:
        raise click.UsageError(f"two config files, {config} and {file}; give one")
    path = config or file
    given = {key: value for key, value in options.items() if value is not None}
    whole = build_config(read_config(path) if path else {}, given)
    if dry_run:
        from backlight.app.cli.dry_run import show

        show(whole, as_json)
        return
    run(whole, quiet, as_json)


def run(config: Config, quiet: bool, as_json: bool) -> None:
    """Attribute what a config describes, stopping at Ctrl-C after the shard in flight."""
    from backlight.app.cli.failure import Interrupted
    from backlight.app.cli.interrupt import stopped_by_signals
    from backlight.app.cli.progress import progress_bar
    from backlight.core.run import attribute_dataset
    from backlight.core.run.attributing import Stopped
    from backlight.core.run.preparing import prepare

    ready, out = prepare(config), Path(config.out)
    if not (quiet or as_json):
        for note in ready.source.notes():
            click.echo(f"note: {note}", err=True)
    try:
        with (
            stopped_by_signals("Stopping after the shard in flight; once more stops at once.") as stop,
            elsewhere(config, stop) as shards,
            progress_bar("Attributing", quiet=quiet, as_json=as_json) as report,
        ):
            done = attribute_dataset(
                ready.explainer,
                ready.source,
                out,
                ready.settings,
                name=config.name,
                described=ready.described,
                config=to_toml(config, out),
                progress=report,
                stop=stop,
                elsewhere=shards,
            )
    except Stopped as stopped:
        raise Interrupted(f"{str(stopped)[0].upper()}{str(stopped)[1:]}.", stopped.exit_code) from stopped
    if as_json:
        print_json(done)
    elif not quiet:
        print_finished(done)


def elsewhere(config: Config, stop: Any) -> Any:
    """Return the cluster that makes the shards, or a context of None for this process."""
    import contextlib

    if config.cluster is None:
        return contextlib.nullcontext()
    from backlight.core.run.cluster import shards_on

    return shards_on(config, stop)


def print_finished(done: Finished) -> None:
    """Say what a finished run holds, what failed, and what relevance was lost on the way."""
    import math

    click.echo(f"{done.attributed} samples attributed in {done.root}")
    if not math.isnan(done.conservation_error):
        click.echo(
            f"relevance that biases and stabilisers kept: {done.conservation_error:.1%} (median over samples)"
        )
    for index, reason in list(done.failures.items())[:5]:
        click.echo(f"left out sample {index}: {reason}", err=True)
    if len(done.failures) > 5:
        click.echo(f"left out {len(done.failures) - 5} more; all are named in the shards", err=True)


def print_json(done: Finished) -> None:
    """Print the same for machines."""
    import json
    import math

    error = None if math.isnan(done.conservation_error) else done.conservation_error
    result = {"run": str(done.root), "attributed": done.attributed, "conservation_error": error}
    click.echo(json.dumps({"event": "finished", **result, "failures": dict(done.failures)}))
