"""A click group that imports a verb's module only when that verb is run, and words every failure."""

from __future__ import annotations

import importlib
import keyword
from typing import Any

import click

from backlight.app.cli.failure import explained
from backlight.core.errors import BacklightError, unknown

DEBUG = "backlight.debug"
"""Key in click's `Context.meta` that says whether tracebacks are shown."""


class LazyGroup(click.Group):
    """A group whose commands are the `command`s of modules `<package>.<verb>`.

    verbs: verb -> its line in the group's help, so that listing imports none of the modules.
    """

    def __init__(self, *args: Any, verbs: dict[str, str], package: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = verbs
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, in the order in which they are used."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb and return its command; None for an unknown verb."""
        if cmd_name not in self.verbs:
            return None
        try:
            module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
            command: click.Command = importlib.import_module(f"{self.package}.{module}").command
        except ModuleNotFoundError as error:
            raise BacklightError(_missing(cmd_name, self.package, error)) from error
        _accept_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the verbs it may have been meant to be."""
        if args[0] not in self.verbs and not args[0].startswith("-"):
            ctx.fail(unknown("command", args[0], self.verbs))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.verbs.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the global options."""
        ctx.meta[DEBUG] = "--debug" in args  # before or after the verb
        with explained(debug=ctx.meta[DEBUG]):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        with explained(debug=ctx.meta[DEBUG]):
            return super().invoke(ctx)


def _missing(verb: str, package: str, error: ModuleNotFoundError) -> str:
    module = (error.name or "").split(".")[0]
    if module == package.split(".")[0]:
        return f"`backlight {verb}` is missing from this installation (no module {error.name!r})"
    return (
        f"`backlight {verb}` needs the module {module!r}, which is not installed; try `pip install {module}`"
    )


def _accept_debug(command: click.Command) -> None:
    """Let `--debug` stand after the verb too, where people who re-run a command add it."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(click.Option(["--debug"], is_flag=True, hidden=True, expose_value=False))
    for child in getattr(command, "commands", {}).values():
        _accept_debug(child)
