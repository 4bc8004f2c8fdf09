"""What surrounds an explained forward pass on the user's model, and is undone after it, whatever happens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from backlight.core.coverage import Covered
from backlight.core.errors import EngineError, unknown
from backlight.core.interception.eager import uncompiled
from backlight.core.ops import Site

_RUN = re.compile(r"(.+)\[(-?\d+)\]")


def hidden_modules(model: nn.Module) -> list[Covered]:
    """Return the modules whose operations cannot be seen: scripted or traced."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            found.append(
                Covered(Site(type(module).__name__, "hidden", path, type(module).__name__, -1), "hidden")
            )
    return found


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode and gradients on; give every module its own train flag back."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with uncompiled(), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def captured(
    model: nn.Module, names: Sequence[str], settle: Callable[[Tensor], Tensor] | None = None
) -> Iterator[dict[str, Any]]:
    """Collect the outputs of named modules while the model runs; the hooks are gone afterwards.

    A module that runs several times is represented by its last run; "name[0]" is its first, "name[-2]" its
    last but one. settle: tells what stands for a tensor under interception; without it the model goes on with
    a copy, which it may change in place.
    """
    modules = dict(model.named_modules())
    outputs: dict[str, Any] = {}

    def keep(name: str, run: int | None) -> Callable[..., None]:
        runs: list[Any] = []

        def hook(module: nn.Module, given: Any, output: Any) -> Any:
            tensor = isinstance(output, Tensor)
            runs.append(settle(output) if tensor and settle is not None else output)
            wanted = -1 if run is None else run
            if -len(runs) <= wanted < len(runs):
                outputs[name] = runs[wanted]
            if wanted == -1:
                runs.clear()
            return output.clone() if tensor and settle is None else None

        return hook

    handles = []
    try:
        for name in names:
            module, run = _run_of(name, modules)
            handles.append(module.register_forward_hook(keep(name, run)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _run_of(name: str, modules: Mapping[str, nn.Module]) -> tuple[nn.Module, int | None]:
    """Return the module that a name means, and which of its runs; None for the last."""
    found = _RUN.fullmatch(name)
    path, run = (found[1], int(found[2])) if found and name not in modules else (name, None)
    if path not in modules:
        raise EngineError(f"the model has {unknown('layer', path, [n for n in modules if n])}")
    return modules[path], run
