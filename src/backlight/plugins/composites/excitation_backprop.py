"""Excitation backprop (Zhang et al. 2018), which is LRP z-plus on every linear layer."""

from __future__ import annotations

from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.hookspecs import CompositeSpec, hookimpl


def excitation_backprop(epsilon: float = 1e-6, zero_params: tuple[str, ...] = ()) -> Composite:
    """Explain every convolution, dense layer and batch norm by z-plus, sums and pools in proportion.

    zero_params: parameter names treated as zero; ("bias",) is the paper's, which knows no bias and conserves.
    """
    layers = tuple(
        Entry.of("z-plus", Match(kind=kind), epsilon=epsilon, zero_params=zero_params)
        for kind in ("affine", "batch-norm")
    )
    return Composite((*layers, *base(epsilon)), "excitation-backprop")


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer excitation-backprop."""
    return [CompositeSpec("excitation-backprop", excitation_backprop, cite="zhang2018")]
