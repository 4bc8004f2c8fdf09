"""Attribution methods: the plain gradient, which is LRP when the explainer has a composite (Bach et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage


@final
@dataclass(frozen=True)
class Gradient(Processor):
    """One backward pass: the gradient of the output, or LRP under the explainer's composite."""

    stage: ClassVar[Stage] = "attribution"
    yields: ClassVar[tuple[str, ...]] = ("relevance",)

    def __call__(self, differentiate: Callable[..., Any], inputs: Any, target: Any = None) -> dict[str, Any]:
        """Return the relevance of the inputs, (N, K, *input), and of the layers asked for."""
        passed = differentiate(inputs, target)
        return {"relevance": passed.relevance, "layers": passed.layers}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    """Offer the gradient."""
    return [ProcessorSpec("gradient", Gradient, cite="bach2015")]
