"""Grad-CAM (Selvaraju et al. 2017): feature maps weighted by their mean gradient.

CAM = ReLU(Σ_c mean(∂f/∂A_c) · A_c), enlarged bilinearly to the input. The sum over input channels is the CAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
import torch.nn.functional as F  # noqa: N812

from backlight.core.errors import RequestError
from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.interception.differentiation import Differentiator
from backlight.core.processor import Processor, Stage
from backlight.plugins.processors._copies import only


@final
@dataclass(frozen=True)
class GradCam(Processor):
    """Weigh the feature maps of a layer by their mean gradient.

    layer: name of a module that returns (N, C, H, W); by default the last with maps larger than one pixel.
    """

    layer: str | None = None

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, differentiate: Differentiator, inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the input, (N, K, C, H, W)."""
        x = only(inputs, "grad-cam")
        if x.ndim != 4:
            raise RequestError(
                f"grad-cam explains images, got an input of shape {tuple(x.shape)}, expected (N, C, H, W)"
            )
        layer = self.layer or _last_maps(differentiate, x)
        passed = differentiate(x, target, layers=(layer,), unit=True)
        maps, slopes = passed.activations[layer], passed.layers[layer]
        if maps.ndim != 4:
            raise RequestError(f"layer {layer!r} returns {tuple(maps.shape)}, expected (N, C, H, W)")
        cam = torch.einsum("nkc,nchw->nkhw", slopes.mean((3, 4)), maps).relu()
        large = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)
        shape = (*cam.shape[:2], *x.shape[1:])
        return {"relevance": (large.unsqueeze(2) / x.shape[1]).expand(shape).contiguous()}


def _last_maps(differentiate: Differentiator, x: Any) -> str:
    found = [name for name, s in differentiate.shapes(x).items() if len(s) == 4 and s[2] * s[3] > 1]
    if not found:
        raise RequestError("the model has no module that returns feature maps (N, C, H, W); name a layer")
    return found[-1]


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer Grad-CAM."""
    return [ProcessorSpec("grad-cam", GradCam, cite="selvaraju2017")]
