"""`backlight plugins`: what is installed, from metadata; `check` vets a plugin, `new` writes a package."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from backlight.app.cli.columns import aligned
from backlight.app.cli.failure import Failure
from backlight.core.discovery import Entry
from backlight.core.errors import PluginError, unknown
from backlight.core.hookspecs import Kind, PluginSpec
from backlight.core.registry import Plugin, registry

COLUMNS = ("kind", "name", "dist", "version", "state", "module")

kind_option = click.option("--kind", type=click.Choice(get_args(Kind)), help="Only plugins of this kind.")


@click.group("plugins", invoke_without_command=True)
@kind_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.option("--load", is_flag=True, help="Import every plugin, to show summaries and failures.")
@click.option("--broken", is_flag=True, help="Import every plugin and list those that cannot be used.")
@click.pass_context
def command(ctx: click.Context, kind: Kind | None, as_json: bool, load: bool, broken: bool) -> None:
    """List every rule, composite, canonizer, processor and panel that is installed.

    Reads package metadata only; nothing is imported unless --load or --broken is given.
    """
    if ctx.invoked_subcommand is not None:
        if kind or as_json or load or broken:
            raise click.UsageError(f"options of `plugins {ctx.invoked_subcommand}` come after it", ctx)
        return
    found = list(registry().plugins(kind, load=load or broken))
    if broken:
        found = [p for p in found if p.problem]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(p) for p in found], indent=1, ensure_ascii=False))
    else:
        _print_table(found, summaries=load)


@command.command("check")
@click.argument("name")
@kind_option
def check(name: str, kind: Kind | None) -> None:
    """Import one plugin, validate it and print what it offers.

    NAME is the plugin's name, or DISTRIBUTION/NAME where two distributions offer it. Exits with 1 if the
    plugin is broken, with 2 if there is none of that name or it is not clear which is meant.
    """
    entries = [e for e in registry().entries() if e.called(name) and kind in (None, registry().kind(e))]
    if not entries:
        names = {e.name for e in registry().entries(kind)}
        raise PluginError(unknown(kind or "plugin", name, names))
    chosen = {registry().find(registry().kind(e), name) for e in entries}
    for position, entry in enumerate(sorted(chosen)):
        if position:
            click.echo()
        _describe(entry)


@command.command("new")
@click.option("--name", prompt="Name of the package, such as 'my-rule'", help="Name of package and plugins.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="rule, canonizer, processor or panel; may be repeated.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write; ./NAME by default."
)
def new(name: str, kinds: tuple[str, ...], out: Path | None) -> None:
    """Write a new plugin package, complete with tests.

    Asks for what is not given. The folder must not exist yet.
    """
    from backlight.app.scaffold.new import KINDS, NewPackage, parse_kinds, write_package

    asked = kinds or (click.prompt(f"Kinds of plugin ({', '.join(KINDS)})", default="rule"),)
    folder = out or Path(name)
    files = write_package(NewPackage(name, parse_kinds(asked)), folder)
    click.echo(f"wrote {len(files)} files into {folder}:")
    for file in files:
        click.echo(f"  {file}")
    click.echo(f"next: cd {folder} && pip install -e '.[test]' && backlight plugins check {name} && pytest")


def _describe(entry: Entry) -> None:
    try:
        spec = registry().load(entry)
    except PluginError as error:
        raise Failure(str(error), 1) from error
    rows = {
        "module": entry.module,
        "factory": getattr(spec.factory, "__qualname__", repr(spec.factory)),
        "parameters": ", ".join(_parameters(spec.factory)) or "none",
        **{name: _text(value) for name, value in _extras(spec).items()},
        "cite": spec.cite or "none",
        "summary": spec.summary or "none",
    }
    click.echo(f"{spec.kind} {spec.name!r} of {entry.dist} {entry.version} is fine")
    for name, value in rows.items():
        click.echo(f"  {name:<12} {value}")


def _parameters(factory: Any) -> list[str]:
    """Return `name` or `name=default` for each parameter."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # a callable of compiled code may not tell
        return []
    return [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]


def _extras(spec: PluginSpec) -> dict[str, Any]:
    """Return the fields that this kind of descriptor has beyond those that all have."""
    common = {field.name for field in dataclasses.fields(PluginSpec)}
    return {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.name not in common}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _print_table(found: Sequence[Plugin], *, summaries: bool) -> None:
    rows = [COLUMNS, *(tuple(getattr(p, column) for column in COLUMNS) for p in found)]
    if summaries:
        rows = [
            (*row, text) for row, text in zip(rows, ["summary", *(p.summary for p in found)], strict=True)
        ]
    for line in aligned(rows):
        click.echo(line)
    for plugin in found:
        if plugin.problem:
            click.echo(f"\n{plugin.state}: {plugin.problem}")
