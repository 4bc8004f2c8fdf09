"""Offers `twin`, as another distribution does."""

from dataclasses import dataclass

from backlight.core.hookspecs import ProcessorSpec, hookimpl


@dataclass(frozen=True)
class Twin:
    """The twin of backlight-two."""


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    return [ProcessorSpec("twin", Twin)]
