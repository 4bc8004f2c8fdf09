"""Explaining a model from Python: `attribute` for one batch, `Explainer` for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.composite import Composite
from backlight.core.composite import composite as build_composite
from backlight.core.coverage import Audit, Coverage
from backlight.core.errors import RequestError
from backlight.core.interception.differentiation import Differentiator, Passed
from backlight.core.interception.inputs import Inputs, structured
from backlight.core.interception.plan import Plan
from backlight.core.processor import Processor
from backlight.core.registry import registry
from backlight.core.targets import Contrast, Explained, Target

__all__ = ["Attribution", "Contrast", "Explainer", "Inputs", "Target", "attribute"]


@dataclass(frozen=True)
class Attribution:
    """The explanation of one batch.

    relevance: shaped like the inputs, (N, *input), or (N, K, *input) for K targets; structured like them.
    output: (N, classes) the model's output. target: (N,) or (N, K) explained classes; -1 for a computed
    value. value: (N,) or (N, K) what is explained of the output, which relevance shares out.
    layers: relevance of the layers asked for, by name. coverage: how every operation was treated.
    """

    relevance: Any
    output: Tensor
    target: Tensor
    value: Tensor
    layers: Mapping[str, Tensor]
    coverage: Coverage
    _audit: Callable[[], Audit] = field(repr=False, compare=False)

    def audit(self) -> Audit:
        """Return the conservation audit, explaining the batch once more to record it."""
        return self._audit()


class Explainer:
    """Explains batches of one model; weights derived for the rules are made once and kept.

    A weight changed in place between batches is noticed; through `.data`, if a sample of its values changed
    (see `refresh`).

    composite: None (plain gradient), a preset's or rule's name, a file, a mapping or a Composite.
    method: an installed attribution method, with its `parameters`, or a Processor of stage "attribution".
    canonizers: "auto" (every installed one that applies), names, Canonizer objects, or ().
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        composite: str | Path | Mapping[str, Any] | Composite | None = None,
        method: str | Processor = "gradient",
        canonizers: Literal["auto"] | Sequence[str | Canonizer] = "auto",
        **parameters: Any,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise RequestError(f"model is {type(model).__name__}, expected a torch.nn.Module")
        self.model = model
        self.composite = None if composite is None else build_composite(composite)
        self.method: Processor = (
            registry().create("processor", method, **parameters) if isinstance(method, str) else method
        )
        stage = getattr(self.method, "stage", None)
        if stage != "attribution":
            raise RequestError(f"{method!r} is no attribution method but of stage {stage!r}")
        self._plan = (
            None if self.composite is None else Plan.of(model, self.composite, _canonizers(canonizers))
        )

    def __enter__(self) -> Explainer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._plan is not None:
            self._plan.derived.sweep()

    def refresh(self) -> None:
        """Forget what was derived from the weights, after a change of few values through `.data`."""
        if self._plan is not None:
            self._plan.derived.clear()

    @property
    def canonizers(self) -> tuple[str, ...]:
        """Names of the canonizers that apply to the model."""
        return tuple(name for name, _ in self._plan.canonizers) if self._plan else ()

    def explain(
        self,
        inputs: Inputs,
        target: Target = None,
        *,
        labels: Tensor | None = None,
        layers: Sequence[str] = (),
        strict: bool = False,
        differentiable: bool = False,
    ) -> Attribution:
        """Explain one batch.

        inputs: a floating tensor (N, …), or a sequence or mapping of them for a model with several.
        target: see core.targets.Target; "true" stands for `labels`.
        layers: names of modules whose output's relevance is wanted too.
        strict: raise EngineError naming any operation that no rule covers.
        differentiable: keep relevance, layers and output attached to parameters, and to inputs that require
            gradients, so that a loss may be made of them; of method "gradient" only. EngineError where a rule
            cannot be differentiated.
        """
        wanted = _chosen(target, labels)
        if differentiable and not getattr(self.method, "differentiable", False):
            raise RequestError(
                f"relevance of method {type(self.method).__name__} cannot be differentiated; "
                'expected method "gradient", with any composite'
            )

        def run(audit: bool) -> tuple[Mapping[str, Any], Explained, Passed | None]:
            attached = differentiable and not audit
            differentiate = Differentiator(self.model, self._plan, tuple(layers), strict, audit, attached)
            found = self.method(differentiate, inputs, wanted)
            if differentiate.first is None:
                raise RequestError(f"method {self.method!r} did not run the model")
            return found, differentiate.first, differentiate.last

        def audit() -> Audit:
            last = run(audit=True)[2]
            if last is None or last.audit is None:
                raise RequestError("a plain gradient has no relevance to audit; choose a composite")
            return last.audit

        found, what, last = run(audit=False)
        relevance, classes, value = found["relevance"], what.classes, what.values()
        kept = dict(found.get("layers", {}))
        if missing := [name for name in layers if name not in kept]:
            raise RequestError(
                f"method {type(self.method).__name__} gives no relevance of layer {missing[0]!r}"
            )
        if not what.many:
            relevance, classes = structured(relevance, lambda r: r.squeeze(1)), classes.squeeze(1)
            value = value.squeeze(1)
            kept = {name: r.squeeze(1) for name, r in kept.items()}
        coverage = Coverage(()) if last is None else last.coverage
        return Attribution(relevance, what.output, classes, value, kept, coverage, audit)


def attribute(
    model: nn.Module,
    inputs: Inputs,
    target: Target = None,
    *,
    composite: str | Path | Mapping[str, Any] | Composite | None = None,
    method: str | Processor = "gradient",
    canonizers: Literal["auto"] | Sequence[str | Canonizer] = "auto",
    labels: Tensor | None = None,
    layers: Sequence[str] = (),
    strict: bool = False,
    differentiable: bool = False,
    **parameters: Any,
) -> Attribution:
    """Explain one batch; see Explainer for the model's side and Explainer.explain for the batch's."""
    explainer = Explainer(model, composite=composite, method=method, canonizers=canonizers, **parameters)
    return explainer.explain(
        inputs, target, labels=labels, layers=layers, strict=strict, differentiable=differentiable
    )


def _chosen(target: Target, labels: Tensor | None) -> Target:
    """Put labels in the place of "true", also in a contrast."""
    if isinstance(target, Contrast):
        return Contrast(_chosen(target.of, labels))
    if isinstance(target, str) and target == "true":
        if labels is None:
            raise RequestError('target "true" needs labels')
        return labels
    return target


def _canonizers(wanted: Literal["auto"] | Sequence[str | Canonizer]) -> list[tuple[str, Canonizer]]:
    if isinstance(wanted, str):
        wanted = registry().names("canonizer") if wanted == "auto" else [wanted]
    return [
        (c, registry().create("canonizer", c)) if isinstance(c, str) else (type(c).__name__, c)
        for c in wanted
    ]
