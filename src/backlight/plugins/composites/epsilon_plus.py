"""Epsilon-plus composites (Kohlbrenner et al. 2020): convolutions by z-plus, dense layers by epsilon."""

from __future__ import annotations

from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.hookspecs import CompositeSpec, hookimpl


def epsilon_plus(epsilon: float = 1e-6) -> Composite:
    """Explain convolutions by z-plus and dense layers by epsilon."""
    return Composite(
        (
            Entry.of("z-plus", Match(kind="convolution"), epsilon=epsilon),
            Entry.of("epsilon", Match(kind="linear"), epsilon=epsilon),
            *base(epsilon),
        ),
        "epsilon-plus",
    )


def epsilon_plus_flat(epsilon: float = 1e-6) -> Composite:
    """Explain the first layer in execution order by flat, later ones as epsilon-plus does."""
    first = Entry.of("flat", Match(kind="affine", position=0), epsilon=epsilon)
    return Composite((first, *epsilon_plus(epsilon).entries), "epsilon-plus-flat")


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer epsilon-plus and epsilon-plus-flat."""
    return [
        CompositeSpec("epsilon-plus", epsilon_plus, cite="kohlbrenner2020"),
        CompositeSpec("epsilon-plus-flat", epsilon_plus_flat, cite="kohlbrenner2020"),
    ]
