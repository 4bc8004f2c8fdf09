"""What a model is given, in any structure, and what is explained of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from backlight.core.errors import EngineError, RequestError

Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def structured(inputs: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return `function` of every tensor in a tensor, sequence or mapping of inputs, in the same structure."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping) and all(isinstance(x, Tensor) for x in inputs.values()):
        return {key: function(value) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)) and all(isinstance(x, Tensor) for x in inputs):
        return tuple(function(x) for x in inputs)
    raise RequestError(
        f"inputs are {type(inputs).__name__}, expected a tensor, or a sequence or mapping of tensors"
    )


def in_order(inputs: Inputs) -> list[Tensor]:
    """Return the tensors of a batch in order."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values() if isinstance(inputs, Mapping) else inputs)


def arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional arguments and those by name with which a model is called."""
    return ((), dict(inputs)) if isinstance(inputs, Mapping) else (tuple(in_order(inputs)), {})


def logits(output: Any) -> Tensor:
    """Return the tensor to explain of an output: itself, its "logits" or "out", or its first tensor."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        for key in ("logits", "out", *output):
            if isinstance(output.get(key), Tensor):
                return logits(output[key])
    elif isinstance(getattr(output, "logits", None), Tensor):
        return logits(output.logits)
    elif isinstance(output, (tuple, list)):
        for item in output:
            if isinstance(item, Tensor):
                return item
    raise EngineError(
        f"the model returns {type(output).__name__}, expected a tensor or something that holds one"
    )
