"""Pictures whose size a model was not made for, told as such instead of as shapes that do not multiply."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from backlight.core.errors import RequestError, first_line


@contextmanager
def fitting(model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Raise RequestError for a RuntimeError in the block if the model alone raises one for these inputs."""
    try:
        yield
    except RuntimeError:
        _check_size(model, inputs)
        raise


def _check_size(model: nn.Module, inputs: Tensor) -> None:
    height, width = inputs.shape[-2:]
    try:
        with torch.no_grad():
            model.eval()(inputs)
    except RuntimeError as error:
        raise RequestError(
            f"{type(model).__name__} cannot take pictures of {height} x {width}; give the --size it was made "
            f"for ({first_line(error)})"
        ) from error
