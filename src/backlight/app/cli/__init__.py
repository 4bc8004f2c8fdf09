"""The command `backlight`: global options and one module per verb, imported when the verb is run."""

from __future__ import annotations

import click

from backlight.app.cli.group import LazyGroup

VERBS = {
    "attribute": "Explain every sample of a dataset into a run directory.",
    "analyze": "Cluster a run's explanations and rank its classes.",
    "explore": "Open runs in the browser.",
    "verify": "Check that a run is complete and unchanged.",
    "import": "Make a run of relevance that another tool computed.",
    "export": "Write a run's results as arrays or as a table.",
    "demo": "Find a planted artefact in real digits, start to end.",
    "heatmap": "Show what a model looks at in a few pictures.",
    "recolour": "Give a saved heatmap other colours.",
    "coverage": "Show which rule takes each operation, and where relevance leaks.",
    "report": "Write a run's findings into one page to print or send.",
    "pipeline": "Show a pipeline's steps, or write it as a file.",
    "cache": "Show or clear a run's cached results.",
    "selftest": "Plant an artefact in your pictures and see whether it is found.",
    "plugins": "List installed plugins, check one, or write a new package.",
    "doctor": "Show versions, device, plugins, and what is missing.",
}
"""Verb -> the line that `backlight --help` shows; `backlight.app.cli.<verb>` exports the `command`."""


@click.group(
    cls=LazyGroup, verbs=VERBS, package=__name__, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--block", multiple=True, metavar="PATTERN", help="Never import plugins matching name, dist or dist/name."
)
@click.option(
    "--allow", multiple=True, metavar="PATTERN", help="Import no third-party plugins but those matching."
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.version_option(package_name="backlight", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, block: tuple[str, ...], allow: tuple[str, ...]) -> None:
    """See what a vision model really looks at, across a whole dataset."""
    if block or allow:
        from backlight.core.registry import restricted

        ctx.with_resource(restricted(block=block, allow=allow))
