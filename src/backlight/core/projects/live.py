"""A model beside a project: explains single pictures while people look at what the run found.

One explanation at a time in a process; whoever asks meanwhile waits. Nothing about a picture is kept.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import (
    BacklightError,
    FormatError,
    PluginError,
    RequestError,
    first_line,
    unknown,
)
from backlight.core.registry import registry

if TYPE_CHECKING:
    from torch import nn

    from backlight.core.composite import Composite
    from backlight.core.explainer import Explainer
    from backlight.core.project import Project
    from backlight.core.sources.preprocessing import Preprocessing

RUN = "run"
"""Name of the composite and of the method that the run was made with."""

NONE = "none"
UPLOAD_BYTES = 16 << 20
UPLOAD_PIXELS = 50_000_000
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PATIENCE = 120.0
"""Seconds to wait for somebody else's explanation."""

KEPT = 4
_ONE = threading.Lock()


@final
@dataclass(frozen=True)
class Question:
    """How a picture is to be explained: composite and method by name, and a class, None for the predicted.

    layer: name of a module whose relevance is wanted too.
    """

    composite: str = RUN
    method: str = RUN
    target: int | None = None
    layer: str | None = None


@final
@dataclass(frozen=True)
class Answer:
    """The explanation of one picture.

    picture: (H, W, 3) uint8, as the model saw it. relevance: (C, H, W) float32. output: (classes,) float32.
    layer: relevance of the layer asked for, in the form in which the run keeps it, or None.
    """

    picture: NDArray[np.uint8]
    relevance: NDArray[np.float32]
    output: NDArray[np.float32]
    target: int
    seconds: float
    layer: NDArray[np.float32] | None = None


class Live:
    """A model with the preprocessing, composite and method of a project's run.

    same_weights: whether its weights are those of the run; None where the run did not record them.
    pooling: how the run keeps the relevance of layers, "channel" or "full".
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        *,
        composite: Composite | None = None,
        method: str = "gradient",
        parameters: Mapping[str, Any] | None = None,
        canonizers: Any = "auto",
        same_weights: bool | None = None,
        pooling: str = "channel",
    ) -> None:
        self.model, self.preprocessing = model, preprocessing
        self.composite, self.canonizers = composite, canonizers
        self.method, self.parameters = method, dict(parameters or {})
        self.same_weights, self.pooling = same_weights, pooling
        self._explainers: OrderedDict[tuple[str, str], Explainer] = OrderedDict()

    @property
    def composites(self) -> list[str]:
        """Names that a question may give as composite."""
        return [RUN, NONE, *registry().names("composite")]

    @property
    def methods(self) -> list[str]:
        """Names that a question may give as method."""
        return [RUN, *attribution_methods()]

    @property
    def recipe(self) -> tuple[str, str]:
        """Names of the composite and the method that `RUN` stands for."""
        return (self.composite.name if self.composite else NONE), self.method

    def explain(self, picture: NDArray[np.uint8], question: Question) -> Answer:
        """Explain one picture (H, W, 3); raise BacklightError with a sentence when that cannot be done."""
        if question.composite not in self.composites:
            raise RequestError(unknown("composite", question.composite, self.composites))
        if question.method not in self.methods:
            raise RequestError(unknown("method", question.method, self.methods))
        if not _ONE.acquire(timeout=PATIENCE):
            raise BacklightError("other pictures are being explained; try again in a minute")
        try:
            return self._explain(self.preprocessing.fit(picture), question)
        except BacklightError:
            raise
        except Exception as error:  # the model's own code can raise anything
            raise BacklightError(f"the model cannot explain this picture: {first_line(error)}") from error
        finally:
            _ONE.release()

    def _explain(self, picture: NDArray[np.uint8], question: Question) -> Answer:
        import torch

        from backlight.core.run.explaining import beside
        from backlight.core.run.spaces import as_kept

        start = time.perf_counter()
        inputs = beside(self.model, self.preprocessing.inputs(picture[None]))
        target = None if question.target is None else torch.tensor([question.target], device=inputs.device)
        layer = question.layer
        found = self._explainer(question).explain(inputs, target, layers=() if layer is None else (layer,))
        kept = None if layer is None else as_kept(found.layers[layer], self.model, layer, self.pooling)
        return Answer(
            picture,
            found.relevance[0].float().cpu().numpy(),
            found.output[0].float().cpu().numpy(),
            int(found.target[0]),
            time.perf_counter() - start,
            None if kept is None else kept[0].cpu().numpy(),
        )

    def _explainer(self, question: Question) -> Explainer:
        """Return the explainer of a recipe; the latest few keep the weights they derived."""
        from backlight.core.explainer import Explainer
        from backlight.core.run.preparing import chosen_composite

        key = (question.composite, question.method)
        if key not in self._explainers:
            chosen = (
                self.composite
                if question.composite == RUN
                else chosen_composite(question.composite, self.preprocessing)
            )
            method, parameters = (
                (self.method, self.parameters) if question.method == RUN else (question.method, {})
            )
            self._explainers[key] = Explainer(
                self.model, composite=chosen, method=method, canonizers=self.canonizers, **parameters
            )
        self._explainers.move_to_end(key)
        while len(self._explainers) > KEPT:
            self._explainers.popitem(last=False)
        return self._explainers[key]


def attribution_methods() -> list[str]:
    """Return the names of the installed attribution methods that need no parameters."""
    found = []
    for name in registry().names("processor"):
        with contextlib.suppress(PluginError):
            if getattr(registry().spec("processor", name).factory, "stage", None) == "attribution":
                found.append(name)
    return found


def read_upload(data: bytes, name: str = "the upload") -> NDArray[np.uint8]:
    """Return an uploaded picture, (H, W, 3) uint8; raise RequestError for one that is too large or none."""
    from PIL import Image

    if len(data) > UPLOAD_BYTES:
        raise RequestError(f"{name} has {len(data) >> 20} MiB, expected at most {UPLOAD_BYTES >> 20}")
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as image:
            if image.width * image.height <= UPLOAD_PIXELS:
                return np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError:
        pass
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        kinds = ", ".join(PICTURE_FORMATS)
        raise FormatError(f"{name} is no picture that can be read; expected {kinds}") from error
    raise RequestError(f"{name} has more than {UPLOAD_PIXELS // 1_000_000} million pixels")


def picture_of(project: Project, index: int) -> NDArray[np.uint8]:
    """Return the picture of a project's sample; raise RequestError where there is none of this number."""
    if not 0 <= index < len(project.dataset):
        raise RequestError(f"project {project.name!r} has no sample {index}")
    return project.dataset.image(index)
