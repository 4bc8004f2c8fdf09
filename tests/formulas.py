"""Every rule of a linear layer, as in the papers: x (N, I), W (I, O), b (O,), R (N, O) -> (N, I)."""

from __future__ import annotations

import torch
from torch import Tensor

from dense import minus, plus, st


def epsilon(x: Tensor, w: Tensor, b: Tensor, r: Tensor, epsilon: float = 1e-6) -> Tensor:
    """LRP-epsilon."""
    return x * ((r / st(x @ w + b, epsilon)) @ w.T)


def zplus(x: Tensor, w: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """LRP z-plus."""
    s = r / st(plus(x) @ plus(w) + minus(x) @ minus(w) + plus(b))
    return plus(x) * (s @ plus(w).T) + minus(x) * (s @ minus(w).T)


def gamma(x: Tensor, w: Tensor, b: Tensor, r: Tensor, gamma: float = 0.25) -> Tensor:
    """Generalised LRP-gamma."""
    z = x @ w + b
    p, n = w + gamma * plus(w), w + gamma * minus(w)
    up = plus(x) @ p + minus(x) @ n + b + gamma * plus(b)
    low = plus(x) @ n + minus(x) @ p + b + gamma * minus(b)
    s1 = torch.where(z > 0, r / st(up), 0.0)
    s2 = torch.where(z < 0, r / st(low), 0.0)
    return plus(x) * (s1 @ p.T + s2 @ n.T) + minus(x) * (s1 @ n.T + s2 @ p.T)


def alphabeta(x: Tensor, w: Tensor, b: Tensor, r: Tensor, alpha: float = 2.0, beta: float = 1.0) -> Tensor:
    """LRP alpha-beta."""
    up = r / st(plus(x) @ plus(w) + minus(x) @ minus(w) + plus(b))
    down = r / st(plus(x) @ minus(w) + minus(x) @ plus(w) + minus(b))
    agree = plus(x) * (up @ plus(w).T) + minus(x) * (up @ minus(w).T)
    oppose = plus(x) * (down @ minus(w).T) + minus(x) * (down @ plus(w).T)
    return alpha * agree - beta * oppose


def box(x: Tensor, w: Tensor, b: Tensor, r: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The box rule; low and high shaped like x."""
    s = r / st(x @ w - low @ plus(w) - high @ minus(w))
    return x * (s @ w.T) - low * (s @ plus(w).T) - high * (s @ minus(w).T)


def wsquare(x: Tensor, w: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """LRP w²."""
    return (r / st(torch.ones_like(x) @ w**2 + b**2)) @ (w**2).T


def flat(x: Tensor, w: Tensor, b: Tensor, r: Tensor) -> Tensor:
    """LRP-flat; random weights are never exactly zero where there is a connection."""
    ones = (w != 0).to(w)
    return (r / st(torch.ones_like(x) @ ones)) @ ones.T
