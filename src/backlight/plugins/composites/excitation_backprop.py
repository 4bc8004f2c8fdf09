"""Excitation backprop (Zhang et al. 2018), which is LRP z-plus on every linear layer."""

from __future__ import annotations

from backlight.core.composite import BASE, Composite, Entry, Match
from backlight.core.hookspecs import CompositeSpec, hookimpl


def excitation_backprop(epsilon: float = 1e-6, zero_params: tuple[str, ...] = ()) -> Composite:
    """Explain every convolution and dense layer by z-plus, sums and pools in proportion.

    zero_params: parameter names treated as zero; ("bias",) is the paper's, which knows no bias and conserves.
    """
    layers = Entry.of("z-plus", Match(kind="affine"), epsilon=epsilon, zero_params=zero_params)
    return Composite((layers, *BASE), "excitation-backprop")


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer excitation-backprop."""
    return [CompositeSpec("excitation-backprop", excitation_backprop, cite="zhang2018")]
