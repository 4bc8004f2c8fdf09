"""Models by name or factory, and their weights from files that cannot run code."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backlight.core.errors import RequestError, first_line, unknown
from backlight.core.sources.factory import build, is_factory, load_factory
from backlight.core.sources.pretrained import pretrained, timm_model


def load_model(
    spec: str,
    weights: Path | str | None = None,
    *,
    download: bool = False,
    trusted: bool = False,
    **arguments: Any,
) -> nn.Module:
    """Build a model and load its weights.

    spec: a torchvision model, `timm/NAME`, `hf/NAME`, `package.module:factory` or `file.py:factory`.
    weights: a .safetensors file or a checkpoint of tensors, other pickles only when `trusted`; or the name of
    the library's own weights, e.g. "DEFAULT", which `download` allows to be fetched.
    arguments: passed to the factory, e.g. num_classes=10.
    """
    if weights is not None and (named := pretrained(spec, str(weights), download)):
        return named.load(arguments)
    model = _build(spec, arguments)
    if not isinstance(model, nn.Module):
        raise RequestError(f"model {spec!r} built {type(model).__name__}, expected a torch.nn.Module")
    if weights is not None:
        load_weights(model, Path(weights), trusted)
    return model


def _build(spec: str, arguments: Mapping[str, Any]) -> Any:
    if is_factory(spec):
        made = load_factory(spec, "model")
        if not callable(made):
            raise RequestError(
                f"model {spec!r} is {type(made).__name__}, expected a callable that returns a model"
            )
        return build(made, spec, "model", **arguments)
    if spec.startswith("timm/"):
        return timm_model(spec, pretrained=False, **arguments)
    if spec.startswith("hf/"):
        raise RequestError(f"model {spec!r} comes with its weights; add --weights DEFAULT")
    from torchvision import models

    names = models.list_models()
    if spec not in names:
        raise RequestError(
            f"{unknown('model', spec, names)}; or name a factory as package.module:name or file.py:name"
        )
    if spec in ("googlenet", "inception_v3"):
        # Their own initialisation takes minutes and is overwritten.
        arguments = {"init_weights": False, **arguments}
    return models.get_model(spec, weights=None, **arguments)


def load_weights(model: nn.Module, path: Path, trusted: bool = False) -> None:
    """Load a state dict into the model; RequestError naming what does not fit, before anything is changed."""
    own = model.state_dict()
    counters = {name: own[name] for name in own if name.endswith("num_batches_tracked")}
    state = counters | read_weights(path, trusted)  # checkpoints of old versions of torch have none
    missing = sorted(own.keys() - state.keys())
    extra = sorted(state.keys() - own.keys())
    wrong = [
        f"{k} is {tuple(state[k].shape)}, expected {tuple(own[k].shape)}"
        for k in own.keys() & state.keys()
        if own[k].shape != state[k].shape
    ]
    problems = (
        [f"lacks {len(missing)} ({missing[0]}, …)" for _ in missing[:1]]
        + [f"has {len(extra)} the model does not ({extra[0]}, …)" for _ in extra[:1]]
        + sorted(wrong)[:1]
    )
    if problems:
        raise RequestError(f"weights {path} do not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(state)


def read_weights(path: Path, trusted: bool = False) -> dict[str, Tensor]:
    """Read a state dict from .safetensors or a checkpoint, also below a `state_dict` key.

    trusted: take whole models and other pickles, too, whose reading runs code that they name.
    Raises RequestError where the file cannot be read, or not without trusting it.
    """
    if not path.is_file():
        raise RequestError(f"weights {path} do not exist")
    try:
        found = _read(path, trusted)
    except pickle.UnpicklingError as error:
        if trusted:
            raise RequestError(f"weights {path} cannot be unpickled: {first_line(error)}") from error
        raise RequestError(
            f"weights {path} are no safetensors or tensors-only checkpoint, and reading them could run code; "
            "if you trust whoever made them, add --weights-trusted"
        ) from error
    except Exception as error:  # a pickle that is trusted may raise anything
        raise RequestError(f"weights {path} cannot be read: {first_line(error)}") from error
    if isinstance(found, nn.Module):
        found = found.state_dict()
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise RequestError(f"weights {path} hold {type(found).__name__}, expected a state dict of tensors")
    return {str(k).removeprefix("module."): v for k, v in found.items()}


def _read(path: Path, trusted: bool) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=not trusted)


def weights_digest(model: nn.Module) -> str:
    """Return a SHA-256 of all parameters and buffers, by name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
