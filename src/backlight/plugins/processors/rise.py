"""RISE (Petsiuk et al. 2018): the mean of random masks, weighted by the output they leave.

R = 1 / (p·M) · Σ over masks m of f(x ⊙ m) · m.  A mask is a coarse random grid, cells on with probability p,
enlarged bilinearly and shifted by up to a cell. All samples share the masks. The sum over channels is the
paper's saliency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.processor import Processor, Stage
from backlight.core.targets import repeated
from backlight.plugins.processors._copies import chunks, only
from backlight.plugins.processors._counts import positive


@final
@dataclass(frozen=True)
class Rise(Processor):
    """Weigh random masks by the output of the masked input.

    masks: how many. cells: of the grid, along each axis. probability: that a cell is kept.
    seed: of the masks. batch_size: samples in one forward pass, masks of all samples together.
    """

    masks: int = 500
    cells: int = 7
    probability: float = 0.5
    seed: int = 0
    batch_size: int = 64

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __post_init__(self) -> None:
        positive("rise", masks=self.masks, cells=self.cells, batch_size=self.batch_size)
        if not 0 < self.probability <= 1:
            raise RequestError(f"rise: probability is {self.probability}, expected more than 0, at most 1")

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the input, (N, K, C, H, W)."""
        x = only(inputs, "rise").detach()
        if x.ndim != 4:
            raise RequestError(
                f"rise explains images, got an input of shape {tuple(x.shape)}, expected (N, C, H, W)"
            )
        base = differentiate.evaluate(x, target)
        generator = torch.Generator().manual_seed(self.seed)
        height, width = x.shape[2:]
        total = x.new_zeros((*base.classes.shape, height, width))
        for chosen in chunks(self.masks, len(x), self.batch_size):
            masks = torch.stack([self.mask(height, width, generator) for _ in chosen]).to(x)
            masked = (x[:, None] * masks[:, None]).flatten(0, 1)
            values = differentiate.evaluate(masked, repeated(base.again, len(chosen))).values()
            total += torch.einsum("nmk,mhw->nkhw", values.unflatten(0, (len(x), len(chosen))).to(x), masks)
        saliency = total / (self.probability * self.masks)
        shape = (*base.classes.shape, *x.shape[1:])
        return {"relevance": (saliency.unsqueeze(2) / x.shape[1]).expand(shape).contiguous()}

    def mask(self, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Draw one mask (height, width) with values in [0, 1]."""
        grid = (torch.rand((1, 1, self.cells, self.cells), generator=generator) < self.probability).double()
        cell = [-(-size // self.cells) for size in (height, width)]
        size = [(self.cells + 1) * c for c in cell]
        large = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0, 0]
        top, left = (int(torch.randint(0, c, (), generator=generator)) for c in cell)
        return large[top : top + height, left : left + width]


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer RISE."""
    return [ProcessorSpec("rise", Rise, cite="petsiuk2018")]
