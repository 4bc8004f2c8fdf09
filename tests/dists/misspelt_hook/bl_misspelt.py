"""The hook is called provide_processors."""

from backlight.core.hookspecs import ProcessorSpec, hookimpl


@hookimpl
def provide_processor() -> list[ProcessorSpec]:
    return [ProcessorSpec("misspelt", dict)]
