"""`backlight doctor`: versions, device, plugins, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of text.")
def command(as_json: bool) -> None:
    """Show versions, device and plugins, and what is missing with the command that installs it.

    Imports every plugin. Exits with 1 if something that is needed is missing or broken.
    """
    from backlight.app.doctor import diagnosis

    found = diagnosis()
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for title, content in found.items():
            click.echo(f"{title}: {_text(content)}" if not isinstance(content, Mapping) else f"{title}:")
            if isinstance(content, Mapping):
                _print_rows(content)
    if found["problems"]:
        raise SystemExit(1)


def _print_rows(rows: Mapping[str, Any]) -> None:
    width = max((len(name) for name in rows), default=0)
    for name, value in rows.items():
        click.echo(f"  {name:<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {state}" for state, count in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\n  ".join(["", *map(str, value)]) if value else "none"
    return str(value)
