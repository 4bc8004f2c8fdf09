"""Written for a plugin API that does not exist yet."""

from backlight.core.hookspecs import ProcessorSpec, hookimpl


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    return [ProcessorSpec("from-the-future", dict, api_version=99)]
