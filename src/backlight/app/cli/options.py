"""Options that several verbs share: one for each key of run.toml, so that they mean the same everywhere."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from backlight.core.run_config import FIELDS, parse

if TYPE_CHECKING:
    from collections.abc import Callable


def config_options(*keys: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds one option for each of these keys of run.toml."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for key in reversed(keys):
            command = _option(key, FIELDS[key])(command)
        return command

    return add


def _option(key: str, field: dataclasses.Field[Any]) -> Callable[..., Any]:
    kind, name = field.metadata["kind"], field.metadata["option"] or key
    explained = field.metadata["help"]
    if kind == "flag":
        return click.option(f"--{name}/--no-{name}", field.name, default=None, help=explained)
    if field.default not in (None, (), {}):
        default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
        explained = f"{explained}  [default: {default}]"
    names = [f"--{name}", *(["-o"] if key == "out" else []), field.name]
    metavar = {"table": "NAME=VALUE", "whole": "N", "share": "SHARE", "path": "PATH"}.get(kind, name.upper())
    many = kind in ("texts", "table")
    return click.option(*names, callback=_parsed, metavar=metavar, multiple=many, help=explained)


def _parsed(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Parse an option as its key would be; None where it was not given."""
    from backlight.core.errors import RequestError

    if value is None or value == ():
        return None
    key = str(parameter.name).replace("_", "-")
    try:
        return parse(key, _table(value) if FIELDS[key].metadata["kind"] == "table" else value)
    except RequestError as error:
        raise click.BadParameter(str(error)) from None


def _table(settings: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    pairs = [setting.partition("=") for setting in settings]
    for setting, (name, equals, _) in zip(settings, pairs, strict=True):
        if not name or not equals:
            raise click.BadParameter(f"{setting!r} is not of the form NAME=VALUE")
    return {name: yaml.safe_load(text) for name, _, text in pairs}
