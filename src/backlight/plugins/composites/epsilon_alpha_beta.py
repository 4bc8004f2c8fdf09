"""Epsilon-alpha2-beta1 composites (Kohlbrenner et al. 2020): alpha-beta, dense layers by epsilon."""

from __future__ import annotations

from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.hookspecs import CompositeSpec, hookimpl


def epsilon_alpha2_beta1(epsilon: float = 1e-6) -> Composite:
    """Explain convolutions by alpha-beta with alpha 2 and beta 1, dense layers by epsilon."""
    return Composite(
        (
            Entry.of("alpha-beta", Match(kind="convolution"), alpha=2.0, beta=1.0, epsilon=epsilon),
            Entry.of("epsilon", Match(kind="linear"), epsilon=epsilon),
            *base(epsilon),
        ),
        "epsilon-alpha2-beta1",
    )


def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6) -> Composite:
    """Explain the first layer in execution order by flat, the rest as epsilon-alpha2-beta1 does."""
    first = Entry.of("flat", Match(kind="affine", position=0), epsilon=epsilon)
    return Composite((first, *epsilon_alpha2_beta1(epsilon).entries), "epsilon-alpha2-beta1-flat")


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer epsilon-alpha2-beta1 and epsilon-alpha2-beta1-flat."""
    return [
        CompositeSpec("epsilon-alpha2-beta1", epsilon_alpha2_beta1, cite="kohlbrenner2020"),
        CompositeSpec("epsilon-alpha2-beta1-flat", epsilon_alpha2_beta1_flat, cite="kohlbrenner2020"),
    ]
