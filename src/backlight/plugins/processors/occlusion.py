"""Occlusion (Zeiler & Fergus 2014): how much the output drops when a window is covered.

R(pixel) = mean, over the windows that cover it, of f(x) − f(x with the window covered). All channels are
covered together; each gets the same share, so that the sum over channels is the drop.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, final

import torch

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.processor import Processor, Stage
from backlight.core.targets import repeated
from backlight.plugins.processors._copies import chunks, only
from backlight.plugins.processors._counts import positive


@final
@dataclass(frozen=True)
class Occlusion(Processor):
    """Cover the input window by window and record how much the output drops.

    window, stride: of the sliding window, along every axis after the channels (of features if there is none).
    baseline: value that covers. batch_size: samples in one forward pass, windows of all samples together.
    """

    window: int = 8
    stride: int = 8
    baseline: float = 0.0
    batch_size: int = 64

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        positive("occlusion", window=self.window, stride=self.stride, batch_size=self.batch_size)

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the input, (N, K, *input)."""
        x = only(inputs, "occlusion").detach()
        base = differentiate.evaluate(x, target)
        values = base.values()
        axes = x.shape[2:] if x.ndim > 2 else x.shape[1:]
        windows = list(product(*(range(0, size, self.stride) for size in axes)))
        total = values.new_zeros((*values.shape, *axes))
        count = values.new_zeros(axes)
        for chosen in chunks(len(windows), len(x), self.batch_size):
            masks = torch.zeros((len(chosen), *axes), dtype=torch.bool, device=x.device)
            for mask, number in zip(masks, chosen, strict=True):
                mask[tuple(slice(at, at + self.window) for at in windows[number])] = True
            covering = masks.unsqueeze(1) if x.ndim > 2 else masks
            covered = torch.where(covering, torch.full_like(x[:1, None], self.baseline), x[:, None])
            seen = differentiate.evaluate(covered.flatten(0, 1), repeated(base.again, len(chosen))).values()
            drops = values[:, None] - seen.unflatten(0, (len(x), len(chosen)))
            total += torch.einsum("nwk,w...->nk...", drops, masks.to(drops.dtype))
            count += masks.sum(0)
        relevance = total / count.clamp(min=1)
        if x.ndim > 2:
            shape = (*values.shape, *x.shape[1:])
            relevance = (relevance.unsqueeze(2) / x.shape[1]).expand(shape).contiguous()
        return {"relevance": relevance}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer occlusion."""
    return [ProcessorSpec("occlusion", Occlusion, cite="zeiler2014")]
