"""Composites for transformers (Achtibat et al. 2024; Ali et al. 2022): how attention weights are treated.

attn-lrp: relevance also flows through the softmax to queries and keys. cp-lrp: the weights are constants.
"""

from __future__ import annotations

from backlight.core.composite import Composite, Entry, Match, base
from backlight.core.hookspecs import CompositeSpec, hookimpl


def attn_lrp(gamma: float = 0.25, epsilon: float = 1e-6) -> Composite:
    """Halve matrix products, expand the softmax, dense layers by epsilon, convolutions by gamma."""
    return Composite(
        (Entry.of("matmul", Match(kind="matmul"), epsilon=epsilon), *_layers(gamma, epsilon)), "attn-lrp"
    )


def cp_lrp(gamma: float = 0.25, epsilon: float = 1e-6) -> Composite:
    """Explain attention by its values alone, dense layers by epsilon, convolutions by gamma."""
    return Composite(
        (Entry.of("gate", Match(kind="matmul"), epsilon=epsilon), *_layers(gamma, epsilon)), "cp-lrp"
    )


def _layers(gamma: float, epsilon: float) -> tuple[Entry, ...]:
    return (
        Entry.of("gamma", Match(kind="convolution"), gamma=gamma, epsilon=epsilon),
        Entry.of("epsilon", Match(kind="linear"), epsilon=epsilon),
        *base(epsilon),
    )


@hookimpl
def provide_rules() -> list[CompositeSpec]:
    """Offer attn-lrp and cp-lrp."""
    return [
        CompositeSpec("attn-lrp", attn_lrp, cite="achtibat2024"),
        CompositeSpec("cp-lrp", cp_lrp, cite="ali2022"),
    ]
