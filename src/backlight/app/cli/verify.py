"""`backlight verify`: check that a run is complete and unchanged."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--quiet", is_flag=True, help="Print problems only.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print progress and problems as JSON, an object a line."
)
@click.pass_context
def command(ctx: click.Context, run: Path, quiet: bool, as_json: bool) -> None:
    """Read all of RUN and compare it with its checksums and its config.

    Exit code 0: complete and unchanged. 1: something is missing or changed; each is named. 2: RUN is no run.
    """
    import dataclasses
    import json

    from backlight.app.cli.progress import progress_bar
    from backlight.core.run import verify

    with progress_bar("Verifying", quiet=quiet, as_json=as_json) as report:
        problems = verify(run, report)
    if as_json:
        found = [dataclasses.asdict(problem) for problem in problems]
        click.echo(json.dumps({"event": "verified", "run": str(run), "problems": found}))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if problems:
            click.echo(
                f"{len(problems)} problem(s) in {run}; `backlight attribute` makes missing shards again"
            )
        elif not quiet:
            click.echo(f"{run} is complete and unchanged")
    ctx.exit(1 if problems else 0)
