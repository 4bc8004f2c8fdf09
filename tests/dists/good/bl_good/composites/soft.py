"""A preset that uses the package's own rule."""

from backlight.core.composite import BASE, Composite, Entry, Match
from backlight.core.hookspecs import CompositeSpec, hookimpl


def soft(epsilon: float = 1e-3) -> Composite:
    """Explain every affine layer by `absolute`."""
    return Composite((Entry.of("absolute", Match(kind="affine"), epsilon=epsilon), *BASE), "soft")


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    return [CompositeSpec("soft", soft)]
