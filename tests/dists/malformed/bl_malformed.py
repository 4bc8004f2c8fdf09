"""A sound module in a distribution whose entry points are not, and which has no METADATA."""

from backlight.core.hookspecs import ProcessorSpec, hookimpl


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    return [ProcessorSpec("fine", dict)]
