"""What an explanation could leave behind: on the model, and in torch's global state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
)


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Return all that must be the same afterwards, by a name that says what it is."""
    state: dict[str, Any] = {
        "the random state of torch": tuple(torch.get_rng_state().tolist()),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "the default dtype of torch": torch.get_default_dtype(),
    }
    for path, module in model.named_modules():
        where = f"module {path!r}" if path else "the model"
        state[f"the attributes of {where}"] = tuple(sorted(vars(module)))
        state[f"the train mode of {where}"] = module.training
        state[f"the class of {where}"] = type(module)
        state[f"the hooks of {where}"] = tuple(tuple(getattr(module, name, ())) for name in _HOOKS)
    for path, tensor in (*model.named_parameters(), *model.named_buffers()):
        state[f"the identity of {path!r}"] = id(tensor)
        state[f"requires_grad of {path!r}"] = tensor.requires_grad
        state[f"the gradient of {path!r}"] = None if tensor.grad is None else id(tensor.grad)
        state[f"the values of {path!r}"] = tensor.detach().cpu().numpy().tobytes()
    return state


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of what differs, sorted."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
