"""What to explain of a model's output: the predicted class, a class, the best few, all, a contrast, a value.

Whatever is meant becomes weights w (N, K, *output): target k explains the value v = sum(w_k · output), and
LRP starts from w_k ⊙ output, which sums to v; a gradient starts from w_k.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from backlight.core.errors import EngineError, RequestError

_TOP = re.compile(r"top-([1-9]\d*)")


@dataclass(frozen=True)
class Contrast:
    """One class against the rest: its output minus the mean of all others; of: an index-like target."""

    of: Any = None


Target = None | int | str | Tensor | Sequence[int] | Contrast | Callable[[Tensor], Tensor]
"""None or "predicted"; "true" (with labels); a class; (N,) classes; K classes: a sequence, (N, K), "top-3",
"all"; "contrastive" or Contrast(target); a function of the output that returns classes, or differentiable
values, (N,) or (N, K).
"""


@dataclass(frozen=True)
class Explained:
    """What is explained of one batch.

    classes: (N, K); -1 where the value is no single class. many: whether the target has an axis of K.
    again: the target for altered copies of the same inputs, so that they are explained for the same classes.
    """

    output: Tensor
    classes: Tensor
    many: bool
    again: Target
    kind: Literal["class", "contrast", "value"] = "class"
    slopes: tuple[Tensor, ...] = ()

    def weights(self, k: int) -> Tensor:
        """Return w for target k, shaped like the output."""
        if self.kind == "value":
            return self.slopes[k]
        hot = torch.zeros_like(self.output).scatter_(1, self.classes[:, k, None], 1.0)
        if self.kind == "class":
            return hot
        return hot - (1 - hot) / max(self.output.shape[1] - 1, 1)

    def attached(self, output: Tensor) -> Explained:
        """Return the same of an output that gradients go through, the slopes of a function included."""
        slopes = self.slopes
        if self.kind == "value" and callable(self.again):
            found = self.again(output)
            columns = found if found.ndim == 2 else found[:, None]
            slopes = tuple(
                torch.autograd.grad(column.sum(), output, create_graph=True)[0]
                for column in columns.unbind(1)
            )
        return replace(self, output=output, slopes=slopes)

    def values(self) -> Tensor:
        """Return the explained values, (N, K)."""
        return torch.stack([self.share(k).flatten(1).sum(1) for k in range(self.classes.shape[1])], 1)

    def share(self, k: int) -> Tensor:
        """Return w ⊙ output for target k; an output that is not finite counts only where it is explained."""
        weights = self.weights(k)
        return weights * torch.where(weights == 0, 0, self.output)


def explained(output: Tensor, target: Target) -> Explained:
    """Say what `target` means for a model's output, (N, classes); only a function may take another shape."""
    output = output.detach()
    if callable(target):
        return _computed(output, target)
    if output.ndim != 2:
        raise EngineError(
            f"the model's output has shape {tuple(output.shape)}, expected (N, classes); "
            "give a function of the output that returns one value per sample as target"
        )
    if isinstance(target, str) and target == "contrastive":
        target = Contrast()
    if isinstance(target, Contrast):
        classes, many = _classes(output, target.of)
        return Explained(output, classes, many, Contrast(classes if many else classes[:, 0]), "contrast")
    classes, many = _classes(output, target)
    return Explained(output, classes, many, classes if many else classes[:, 0])


def repeated(target: Target, times: int) -> Target:
    """Return the target for a batch in which every sample is repeated `times` times in a row."""
    if isinstance(target, Tensor):
        return target.repeat_interleave(times, 0)
    if isinstance(target, Contrast):
        return Contrast(repeated(target.of, times))
    return target


def _classes(output: Tensor, target: Any) -> tuple[Tensor, bool]:
    """Return the (N, K) classes meant, and whether the target has an axis of K."""
    batch, classes = output.shape
    if target is None or (isinstance(target, str) and target == "predicted"):
        return output.argmax(1, keepdim=True), False
    if isinstance(target, str):
        return _named(output, target), True
    picked = torch.as_tensor(target, device=output.device)
    if picked.numel() == 0:
        raise RequestError("target names no class")
    if picked.is_floating_point() or picked.dtype == torch.bool:
        raise RequestError(f"target has dtype {picked.dtype}, expected integer classes")
    many = picked.ndim == 2 or (picked.ndim == 1 and not isinstance(target, Tensor))
    if picked.ndim == 0:
        picked = picked.expand(batch, 1)
    elif picked.ndim == 1:
        picked = picked[:, None] if isinstance(target, Tensor) else picked.expand(batch, -1)
    if picked.ndim != 2 or picked.shape[0] != batch:
        raise RequestError(f"target has shape {tuple(picked.shape)}, expected ({batch},) or ({batch}, K)")
    if int(picked.min()) < 0 or int(picked.max()) >= classes:
        wrong = int(picked.min()) if int(picked.min()) < 0 else int(picked.max())
        raise RequestError(
            f"target names class {wrong}, but the model has {classes} outputs, 0 to {classes - 1}"
        )
    return picked.long(), many


def _named(output: Tensor, target: str) -> Tensor:
    batch, classes = output.shape
    if target == "all":
        return torch.arange(classes, device=output.device).expand(batch, classes)
    if found := _TOP.fullmatch(target):
        wanted = int(found[1])
        if wanted > classes:
            raise RequestError(f"target is {target!r}, but the model has {classes} outputs")
        return output.topk(wanted, dim=1).indices
    raise RequestError(
        f'target is {target!r}, expected "predicted", "true", "all", "contrastive", "top-3" or the like, '
        "a class or classes"
    )


def _computed(output: Tensor, target: Callable[[Tensor], Tensor]) -> Explained:
    """Ask a function: whole numbers are classes, floating-point numbers values to differentiate."""
    with torch.enable_grad():
        return _differentiated(output, target)


def _differentiated(output: Tensor, target: Callable[[Tensor], Tensor]) -> Explained:
    leaf = output.clone().requires_grad_()
    found = target(leaf)
    if not isinstance(found, Tensor) or found.ndim not in (1, 2) or len(found) != len(output):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise RequestError(
            f"target function returned {shape}, expected a tensor ({len(output)},) or with K columns"
        )
    if not found.is_floating_point():
        return explained(output, found)
    if not found.requires_grad:
        raise RequestError("target function returned values that do not depend differentiably on the output")
    many = found.ndim == 2
    columns = found if many else found[:, None]
    slopes = tuple(
        torch.autograd.grad(columns[:, k].sum(), leaf, retain_graph=True)[0] for k in range(columns.shape[1])
    )
    nobody = torch.full(columns.shape, -1, device=output.device)
    return Explained(output, nobody, many, target, "value", slopes)
