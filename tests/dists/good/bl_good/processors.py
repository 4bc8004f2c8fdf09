"""Two analysis stages behind one module."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from backlight.core.hookspecs import ProcessorSpec, hookimpl
from backlight.core.processor import Processor, Stage


@final
@dataclass(frozen=True)
class Centre(Processor):
    """Subtract the mean over samples."""

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("features",)

    def __call__(self, features: np.ndarray) -> dict[str, Any]:
        return {"features": features - features.mean(axis=0) if len(features) else features}


@final
@dataclass(frozen=True)
class Scale(Processor):
    """Multiply by a constant."""

    factor: float = 2.0

    stage: ClassVar[Stage] = "preprocessing"
    yields: ClassVar[tuple[str, ...]] = ("features",)

    def __post_init__(self) -> None:
        if self.factor == 0:
            raise ValueError("factor must not be 0")

    def __call__(self, features: np.ndarray) -> dict[str, Any]:
        return {"features": features * self.factor}


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    return [ProcessorSpec("centre", Centre), ProcessorSpec("scale", Scale, cite="bach2015")]
