"""Explaining altered copies of a batch, as many in one forward pass as memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from backlight.core.errors import RequestError
from backlight.core.interception.inputs import Inputs, in_order, structured


def chunks(copies: int, batch: int, batch_size: int) -> Iterator[range]:
    """Yield ranges of copies that, of every sample of a batch, make up to `batch_size` samples."""
    step = max(1, batch_size // max(batch, 1))
    for start in range(0, copies, step):
        yield range(start, min(start + step, copies))


def length(inputs: Inputs) -> int:
    """Return the number of samples in a tensor, sequence or mapping of inputs."""
    return next(map(len, in_order(inputs)), 0)


def repeat(inputs: Any, times: int) -> Any:
    """Return the inputs with every sample repeated `times` times in a row."""
    return structured(inputs, lambda t: t.repeat_interleave(times, 0))


def combine(first: Any, second: Any, function: Any) -> Any:
    """Return `function` of the tensors of two equally structured inputs, pairwise."""
    if isinstance(first, Tensor):
        return function(first, second)
    if hasattr(first, "items"):
        return {key: function(value, second[key]) for key, value in first.items()}
    return tuple(function(a, b) for a, b in zip(first, second, strict=True))


def only(inputs: Inputs, method: str) -> Tensor:
    """Return the lone input tensor of a batch with at least one axis to mask, or raise RequestError."""
    if isinstance(inputs, Tensor):
        if inputs.ndim < 2 or not inputs.is_floating_point():
            raise RequestError(
                f"{method} got an input {tuple(inputs.shape)} of {inputs.dtype}, expected floating (N, …)"
            )
        return inputs
    if len(inputs) == 1:
        raise RequestError(f"{method} wants its one input as a tensor, not in a {type(inputs).__name__}")
    raise RequestError(f"{method} explains models of one input, got {len(inputs)}")


def floating(inputs: Inputs, method: str) -> None:
    """Raise RequestError if all inputs are whole numbers, which cannot be scaled or moved a little."""
    values = in_order(inputs)
    if not any(x.is_floating_point() for x in values):
        raise RequestError(
            f"{method} got {values[0].dtype} inputs, expected floating-point ones; tokens are explained by "
            'method "gradient" with a composite'
        )
