"""MkDocs hook: fill pages from what the code says, so that tables and command-line help cannot drift.

A page asks with a line `<!-- plugins: KIND -->`, `<!-- template: KIND -->`, `<!-- help -->`, `<!-- hooks -->`
or `<!-- checks -->`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import click

from backlight.app.cli import main
from backlight.app.scaffold.new import NewPackage
from backlight.core import hookspecs
from backlight.core.hookspecs import GROUPS, SPECS, Kind, PluginSpec
from backlight.core.registry import registry
from backlight.testing import suite

REQUEST = re.compile(r"^<!-- (plugins|template|help|hooks|checks)(?:: (\w+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every request on the page by the text it asks for."""
    makers: dict[str, Callable[..., str]] = {
        "plugins": plugins,
        "template": template,
        "help": command_line,
        "hooks": hooks,
        "checks": checks,
    }
    return REQUEST.sub(lambda found: makers[found[1]](*[found[2]] if found[2] else []), markdown)


def plugins(kind: str) -> str:
    """Return a table of the built-in plugins of one kind, then a section on each."""
    specs = [
        registry().spec(kind, entry.key) for entry in registry().entries(kind) if entry.built_in
    ]  # a broken built-in stops the build
    rows = [f"| [`{spec.name}`](#{spec.name}) | {_cell(spec.summary)} |" for spec in specs]
    return "\n".join(["| Name | What it does |", "| --- | --- |", *rows, "", *map(_section, specs)])


def _section(spec: PluginSpec) -> str:
    """Return everything that one descriptor and its docstring say."""
    common = {field.name for field in dataclasses.fields(PluginSpec)}
    own = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.name not in common}
    own |= {name: getattr(spec.factory, name) for name in ("stage", "yields") if hasattr(spec.factory, name)}
    needs = getattr(spec.factory, "needs", None)
    own |= {"needs": needs()} if callable(needs) else {}
    lines = [f"## `{spec.name}` {{#{spec.name}}}", "", spec.summary, "", *_parameters(spec), ""]
    lines += [f"- **{name}**: {_value(value)}" for name, value in own.items()]
    lines += [f"- **cite**: [{spec.cite}](../bibliography.md#{spec.cite})"] if spec.cite else []
    module = inspect.getdoc(inspect.getmodule(spec.factory)) or ""
    return "\n".join([*lines, "", "```text", module, "```", ""])


def _parameters(spec: PluginSpec) -> Iterator[str]:
    """Yield a list of parameters with defaults and, where the docstring has one, an explanation."""
    explained = dict(
        re.findall(r"(?:^|\n|\. )(\w+): (.+?)(?=\n\w+: |\n\n|\Z)", inspect.getdoc(spec.factory) or "", re.S)
    )
    for name, parameter in inspect.signature(spec.factory).parameters.items():
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        text = " ".join(explained.get(name, "").split())
        yield f"- `{name}{default}`" + (f": {text}" if text else "")


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, (list, tuple)) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def template(kind: Kind) -> str:
    """Return the module that `backlight plugins new` writes for one kind."""
    path = f"src/robust_look/{kind}.py"
    return f'```python title="{path}"\n{NewPackage("robust-look", (kind,)).files()[path]}```'


def command_line() -> str:
    """Return the help of the command and of every verb and its sub-commands."""
    return "\n".join(_help(main, main.make_context("backlight", [], resilient_parsing=True)))


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            child = command.get_command(context, verb)
            assert child is not None, verb
            yield from _help(child, child.make_context(verb, [], parent=context, resilient_parsing=True))


def hooks() -> str:
    """Return each hook with its signature and each descriptor with its fields."""
    parts = []
    for group, hook in GROUPS.items():
        function = getattr(hookspecs, hook)
        signature = str(inspect.signature(function)).replace("'", "")
        parts.append(
            f"## `{hook}`\n\nGroup `{group}`.\n\n```python\n@hookimpl\ndef {hook}{signature}: ...\n```\n"
        )
        parts.append(f"{inspect.getdoc(function)}\n")
        for spec in SPECS:
            if spec.group == group:
                fields = ", ".join(f"`{f.name}`" for f in dataclasses.fields(spec))
                parts.append(
                    f"Descriptor `{spec.__name__}`: {fields}.\n\n```text\n{inspect.getdoc(spec)}\n```\n"
                )
    return "\n".join(parts)


def checks() -> str:
    """Return a table of the conformance checks of every kind, as their docstrings describe them."""
    lines = ["| Kind | Check | What passes |", "| --- | --- | --- |"]
    lines.append(
        "| all | value | A frozen dataclass that equals its copies, survives pickling and its own repr. |"
    )
    for kind, home in suite.HOMES.items():
        for name, check in importlib.import_module(home).CHECKS.items():
            text = (inspect.getdoc(check) or "").split("\n")[0]
            lines.append(f"| {kind} | {name} | {_cell(text)} |")
    return "\n".join(lines)
