"""What made a tensor, read off the graph of the explained forward pass: a gate? something never negative?

The graph is there anyway, so that nothing needs to be recorded beside it. Nodes of explained operations carry
their `op`; every other node is one of autograd's own, known by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from backlight.core.ops import Op


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MOVES = _names(
    """view unsafeview reshapealias permute transpose t unsqueeze squeeze expand tocopy clone slice
    select unbind split splitwithsizes index indexselect gather alias asstrided repeat flip roll
    diagonal unflatten narrow pixelshuffle pixelunshuffle channelshuffle unfold im2col"""
)
"""Autograd nodes whose output holds values of their only input."""

_SELECTS = _MOVES | _names(
    "cat stack maxpool2dwithindices maxpool3dwithindices adaptivemaxpool2d adaptivemaxpool3d max amax maximum"
)
"""Nodes whose output holds nothing but values of their inputs."""

_CLAMPED = frozenset({"relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "softplus"})
_KEEPS_SIGN = frozenset({"average-pool", "product", "sum"})
_ALIASES = {"linalgvectornorm": "vector_norm"}
_NAME = re.compile(r"Backward\d*$")


def origin(tensor: Tensor) -> str:
    """Return the name of the operation that made `tensor`, seen through views, casts, scalings and shifts."""
    node = tensor.grad_fn
    while node is not None:
        op = _op(node)
        if op is None:
            name = _name(node)
            if name not in _MOVES:
                return _ALIASES.get(name, name)
        elif op.site.kind not in ("scale", "sum") or len(op.inputs) > 1:
            return op.site.name
        node = next((n for n, _ in node.next_functions if n is not None), None)
    return ""


def non_negative(tensor: Tensor) -> bool:
    """Say whether the way `tensor` was made rules out negative values; False when that is not known."""
    nodes, seen = [tensor.grad_fn], 0
    while nodes:
        node, seen = nodes.pop(), seen + 1
        if node is None or seen > 64:
            return False
        op = _op(node)
        if op is not None:
            if not op.memo.get("non-negative output", False):
                return False
        elif _name(node) in _SELECTS:
            nodes += [n for n, _ in node.next_functions]
        else:
            return False
    return True


def yields_non_negative(op: Op, signals: tuple[Tensor, ...], constants: bool) -> bool:
    """Say whether an operation's output cannot be negative.

    signals: its differentiable arguments. constants: whether it has tensor or number operands besides them.
    """
    if op.site.name in _CLAMPED:
        return True
    plain = op.site.kind in _KEEPS_SIGN and op.site.name not in ("sub", "rsub") and not constants
    return plain and all(non_negative(s) for s in signals)


def _op(node: Any) -> Op | None:
    return getattr(node, "op", None)


def _name(node: Any) -> str:
    return _NAME.sub("", node.name()).lower()
