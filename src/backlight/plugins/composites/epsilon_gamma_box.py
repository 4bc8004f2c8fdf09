"""Epsilon-gamma-box composite (Montavon et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.hookspecs import CompositeSpec, hookimpl


def epsilon_gamma_box(
    low: float | Sequence[float] = -3.0,
    high: float | Sequence[float] = 3.0,
    gamma: float = 0.25,
    epsilon: float = 1e-6,
) -> Composite:
    """Explain the first convolution in execution order by box, later ones by gamma, dense layers by epsilon.

    low, high: bounds of the model's (normalised) input, a number or one per channel.
    """
    bounds = {k: tuple(v) if isinstance(v, Sequence) else v for k, v in (("low", low), ("high", high))}
    return Composite(
        (
            Entry.of("box", Match(kind="convolution", position=0), epsilon=epsilon, **bounds),
            Entry.of("gamma", Match(kind="convolution"), gamma=gamma, epsilon=epsilon),
            Entry.of("epsilon", Match(kind="linear"), epsilon=epsilon),
            *base(epsilon),
        ),
        "epsilon-gamma-box",
    )


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer epsilon-gamma-box."""
    return [CompositeSpec("epsilon-gamma-box", epsilon_gamma_box, cite="montavon2019")]
