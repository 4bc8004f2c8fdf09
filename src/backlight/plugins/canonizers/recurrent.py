"""Take recurrent layers apart, step by step: LSTM, GRU and plain RNN from dense layers, gates and sums.

A gate is a sigmoid, so that a product with one gives all relevance to the signal (Arras et al. 2017).
LSTM: c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'), or P·h' with a projection
GRU: h' = (1 − z) ⊙ n + z ⊙ h, n = tanh(W_n·x + r ⊙ U_n·h)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl

State = tuple[Tensor, ...]
Step = Callable[..., State]


@final
@dataclass(frozen=True)
class Recurrent(Canonizer):
    """Decompose nn.LSTM, nn.GRU, nn.RNN and their cells; deep, bidirectional and packed ones too."""

    def applies(self, model: nn.Module) -> bool:
        """Say whether the model has a recurrent layer."""
        return any(isinstance(m, (nn.RNNBase, nn.RNNCellBase)) for m in model.modules())

    def decompose(self, function: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return the same recurrence from its parts, or None for any other function."""
        return _PARTS.get(function)


def _lstm_step(
    x: Tensor,
    state: State,
    w: Tensor,
    u: Tensor,
    b: Tensor | None,
    c: Tensor | None,
    projection: Tensor | None = None,
) -> State:
    hidden, cell = state
    # One dense layer each: for the three gates no relevance is computed.
    i, f, g, o = (
        F.linear(x, *first) + F.linear(hidden, *second)
        for first, second in zip(_rows(w, b, 4), _rows(u, c, 4), strict=True)
    )
    cell = cell * torch.sigmoid(f) + torch.tanh(g) * torch.sigmoid(i)
    hidden = torch.tanh(cell) * torch.sigmoid(o)
    return hidden if projection is None else F.linear(hidden, projection), cell


def _gru_step(x: Tensor, state: State, w: Tensor, u: Tensor, b: Tensor | None, c: Tensor | None) -> State:
    (hidden,) = state
    (xr, xz, xn), (hr, hz, hn) = (
        [F.linear(value, *part) for part in parts]
        for value, parts in ((x, _rows(w, b, 3)), (hidden, _rows(u, c, 3)))
    )
    z = torch.sigmoid(xz + hz)
    new = torch.tanh(xn + hn * torch.sigmoid(xr + hr))
    return (new * (1 - z) + hidden * z,)


def _rnn_step(
    activation: Callable[[Tensor], Tensor],
    x: Tensor,
    state: State,
    w: Tensor,
    u: Tensor,
    b: Tensor | None,
    c: Tensor | None,
) -> State:
    return (activation(F.linear(x, w, b) + F.linear(state[0], u, c)),)


def _rows(weight: Tensor, bias: Tensor | None, parts: int) -> list[tuple[Tensor, Tensor | None]]:
    biases: Sequence[Tensor | None] = [None] * parts if bias is None else bias.chunk(parts)
    return list(zip(weight.chunk(parts), biases, strict=True))


def _unroll(step: Step, n_states: int) -> Callable[..., Any]:
    """Return torch.lstm and the like from their step; with batch sizes for a packed sequence, and without."""

    def padded(
        x: Tensor,
        state: Any,
        parameters: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        steps = list((x.transpose(0, 1) if batch_first else x).unbind(0))
        outputs, states = run(steps, _states(state), parameters, has_biases, num_layers, bidirectional)
        return torch.stack(outputs, 1 if batch_first else 0), *states

    def packed(
        data: Tensor,
        batch_sizes: Tensor,
        state: Any,
        parameters: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> tuple[Tensor, ...]:
        steps = list(data.split(batch_sizes.tolist()))
        outputs, states = run(steps, _states(state), parameters, has_biases, num_layers, bidirectional)
        return torch.cat(outputs), *states

    def run(
        steps: list[Tensor],
        state: State,
        parameters: Sequence[Tensor],
        has_biases: bool,
        layers: int,
        bidirectional: bool,
    ) -> tuple[list[Tensor], list[Tensor]]:
        directions = 2 if bidirectional else 1
        per_layer = len(parameters) // (layers * directions)
        finals: list[State] = []
        for layer in range(layers):
            found = []
            for direction in range(directions):
                number = layer * directions + direction
                w, u, *others = parameters[number * per_layer : (number + 1) * per_layer]
                own = (w, u, *others) if has_biases else (w, u, None, None, *others)
                start = tuple(s[number] for s in state)
                outputs, final = _sweep(step, steps, start, own, backwards=direction == 1)
                finals.append(final)
                found.append(outputs)
            steps = (
                found[0] if directions == 1 else [torch.cat(pair, -1) for pair in zip(*found, strict=True)]
            )
        return steps, [torch.stack([final[k] for final in finals]) for k in range(n_states)]

    def either(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        # A packed sequence brings its batch sizes, a tensor, where a padded one brings states and parameters.
        return packed(*args, **kwargs) if isinstance(args[3], (list, tuple)) else padded(*args, **kwargs)

    return either


def _sweep(
    step: Step, steps: list[Tensor], state: State, parameters: tuple[Tensor | None, ...], backwards: bool
) -> tuple[list[Tensor], State]:
    """Run one layer in one direction; a step may hold fewer sequences than the one before it."""
    outputs: list[Tensor] = []
    full = state
    for x in reversed(steps) if backwards else steps:
        n = x.shape[0]
        now = step(x, tuple(s[:n] for s in full) if n < full[0].shape[0] else full, *parameters)
        outputs.append(now[0])
        rest = full[0].shape[0] - n
        full = tuple(torch.cat([a, s[n:]]) for a, s in zip(now, full, strict=True)) if rest else now
    return outputs[::-1] if backwards else outputs, full


def _states(state: Any) -> State:
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _cell(step: Step) -> Callable[..., Any]:
    """Return torch.lstm_cell and the like from their step."""

    def once(
        x: Tensor, state: Any, w: Tensor, u: Tensor, b: Tensor | None = None, c: Tensor | None = None
    ) -> Any:
        found = step(x, _states(state), w, u, b, c)
        return found if isinstance(state, (tuple, list)) else found[0]

    return once


_STEPS: dict[str, tuple[Step, int]] = {
    "lstm": (_lstm_step, 2),
    "gru": (_gru_step, 1),
    "rnn_tanh": (partial(_rnn_step, torch.tanh), 1),
    "rnn_relu": (partial(_rnn_step, torch.relu), 1),
}
_PARTS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{getattr(torch, name): _unroll(step, n) for name, (step, n) in _STEPS.items()},
    **{getattr(torch, f"{name}_cell"): _cell(step) for name, (step, _) in _STEPS.items()},
}


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    """Offer the decomposition of recurrent layers."""
    return [CanonizerSpec("recurrent", Recurrent, cite="arras2017")]
