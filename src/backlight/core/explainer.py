"""Explaining a model from Python: `attribute` for one batch, `Explainer` for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.composite import Composite
from backlight.core.composite import composite as build_composite
from backlight.core.coverage import Audit, Coverage
from backlight.core.engine import Interceptor, Plan, captured, evaluation, hidden_modules
from backlight.core.errors import EngineError, RequestError
from backlight.core.processor import Processor
from backlight.core.registry import registry

Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
Target = None | int | Literal["true", "predicted"] | Tensor | Sequence[int]


@dataclass(frozen=True)
class Passed:
    """One modified backward pass: relevance of inputs and layers, and the model's output.

    relevance: structured like the inputs; each (N, K, *input) for K targets. output: (N, classes).
    """

    relevance: Any
    output: Tensor
    layers: Mapping[str, Tensor]
    coverage: Coverage
    audit: Audit | None


@dataclass(frozen=True)
class Attribution:
    """The explanation of one batch.

    relevance: shaped like the inputs, (N, *input), or (N, K, *input) for K targets; structured like them.
    output: (N, classes) the model's output. target: (N,) or (N, K) explained classes.
    layers: relevance of the layers asked for, by name. coverage: how every operation was treated.
    """

    relevance: Any
    output: Tensor
    target: Tensor
    layers: Mapping[str, Tensor]
    coverage: Coverage
    _audit: Callable[[], Audit] = field(repr=False, compare=False)

    def audit(self) -> Audit:
        """Return the conservation audit, explaining the batch once more to record it."""
        return self._audit()


class Explainer:
    """Explains batches of one model; weights derived for the rules are made once and kept.

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
        if getattr(self.method, "stage", None) != "attribution":
            raise RequestError(
                f"{method!r} is no attribution method but of stage {getattr(self.method, 'stage', None)!r}"
            )
        self._plan = (
            None if self.composite is None else Plan.of(model, self.composite, _canonizers(canonizers))
        )

    def __enter__(self) -> Explainer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._plan is not None:
            self._plan.derived.sweep()

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
    ) -> Attribution:
        """Explain one batch.

        inputs: a floating tensor (N, …), or a sequence or mapping of them for a model with several.
        target: None or "predicted", "true" (needs `labels`), a class, (N,) classes, or K classes: a sequence, or (N, K).
        layers: names of modules whose output's relevance is wanted too.
        strict: raise EngineError naming any operation that no rule covers.
        """

        def run(audit: bool) -> tuple[Any, list[Passed]]:
            passes: list[Passed] = []

            def differentiate(inputs: Inputs, target: Target = None, **options: Any) -> Passed:
                passes.append(
                    self.differentiate(inputs, target, layers=layers, strict=strict, audit=audit, **options)
                )
                return passes[-1]

            chosen = labels if isinstance(target, str) and target == "true" else target
            if isinstance(target, str) and target == "true" and labels is None:
                raise RequestError('target "true" needs labels')
            return self.method(differentiate, inputs, chosen), passes

        found, passes = run(audit=False)
        last = passes[-1]
        relevance, picked = (
            found["relevance"],
            targets(last.output, found.get("target", target if labels is None else labels)),
        )
        many = _is_many(target)
        if not many:
            relevance, picked = _structured(relevance, lambda r: r.squeeze(1)), picked.squeeze(1)
        kept = dict(last.layers) if many else {name: r.squeeze(1) for name, r in last.layers.items()}

        def audit() -> Audit:
            recorded = run(audit=True)[1][-1].audit
            if recorded is None:
                raise RequestError("a plain gradient has no relevance to audit; choose a composite")
            return recorded

        return Attribution(relevance, last.output, picked, kept, last.coverage, audit)

    def differentiate(
        self,
        inputs: Inputs,
        target: Target = None,
        *,
        layers: Sequence[str] = (),
        strict: bool = False,
        audit: bool = False,
    ) -> Passed:
        """Run one forward pass and one modified backward pass for each target; what attribution methods build on."""
        with evaluation(self.model), captured(self.model, layers) as outputs:
            leaves = _structured(inputs, _leaf)
            flat = _flatten(leaves)
            if not flat:
                raise EngineError("there is no input to explain: no floating-point tensor was given")
            interceptor = None if self._plan is None else Interceptor(self._plan, audit)
            output = self._forward(leaves, flat, interceptor)
            covered = [*(interceptor.covered if interceptor else ()), *hidden_modules(self.model)]
            coverage = Coverage(tuple(covered), self.canonizers)
            if strict and coverage.uncovered:
                names = "; ".join(str(c.site) for c in coverage.uncovered[:5])
                raise EngineError(f"no rule covers {len(coverage.uncovered)} operation(s): {names}")
            picked = targets(output, target)
            watched = [*flat, *(outputs[name] for name in layers)]
            absorbed = interceptor.absorbed if interceptor else {}
            pulled = [
                self._pull(output, picked[:, k], watched, absorbed, seed_one=interceptor is None)
                for k in range(picked.shape[1])
            ]
        relevance = [torch.stack(parts, 1) for parts in zip(*pulled, strict=True)]
        if self._plan is not None:
            self._plan.derived.sweep()
        record = None
        if interceptor is not None and interceptor.audit is not None:
            received = float(output.detach().gather(1, picked).sum(dtype=torch.float64))
            returned = sum(float(r.sum(dtype=torch.float64)) for r in relevance[: len(flat)])
            record = Audit(tuple(interceptor.audit), received, returned)
        shaped = iter(relevance)
        found = _structured(
            leaves, lambda leaf: next(shaped) if leaf.requires_grad else torch.zeros_like(leaf)[:, None]
        )
        return Passed(found, output.detach(), dict(zip(layers, shaped, strict=True)), coverage, record)

    def _forward(self, leaves: Any, flat: list[Tensor], interceptor: Interceptor | None) -> Tensor:
        # A model whose first operation is in place could not write on a leaf; a view of the leaf it can.
        args, kwargs = _arguments(leaves if interceptor else _structured(leaves, lambda leaf: leaf.clone()))
        if interceptor is None:
            output = logits(self.model(*args, **kwargs))
        else:
            interceptor.start(flat)
            with interceptor:
                raw = self.model(*args, **kwargs)
            output = interceptor.current(logits(raw))
        if not output.is_floating_point() or not output.requires_grad:
            raise EngineError(
                f"the output of {type(self.model).__name__} ({output.dtype}, shape {tuple(output.shape)}) does not depend "
                "differentiably on the input; expected a path of differentiable operations from input to output"
            )
        return output.reshape(-1, 1) if output.ndim == 1 else output

    @staticmethod
    def _pull(
        output: Tensor,
        picked: Tensor,
        watched: list[Tensor],
        absorbed: Mapping[Tensor, Tensor],
        seed_one: bool,
    ) -> list[Tensor]:
        """Return the relevance of every watched tensor for one target per sample."""
        value = output.detach().gather(1, picked[:, None])
        seed = torch.zeros_like(output).scatter_(
            1, picked[:, None], torch.ones_like(value) if seed_one else value
        )
        merged = [absorbed[w] if w in absorbed else None for w in watched]
        also = [m for m in merged if m is not None]
        found = torch.autograd.grad(output, [*watched, *also], seed, retain_graph=True, allow_unused=True)
        extra = iter(found[len(watched) :])
        parts = []
        for tensor, own, partner in zip(watched, found, merged, strict=False):
            shares = [s for s in (own, next(extra) if partner is not None else None) if s is not None]
            parts.append(torch.stack(shares).sum(0).detach() if shares else torch.zeros_like(tensor))
        return parts


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
    **parameters: Any,
) -> Attribution:
    """Explain one batch; see Explainer for the model's side and Explainer.explain for the batch's."""
    explainer = Explainer(model, composite=composite, method=method, canonizers=canonizers, **parameters)
    return explainer.explain(inputs, target, labels=labels, layers=layers, strict=strict)


def targets(output: Tensor, target: Target) -> Tensor:
    """Return the (N, K) classes meant by `target` for an (N, classes) output."""
    if output.ndim != 2:
        raise EngineError(f"the model's output has shape {tuple(output.shape)}, expected (N, classes)")
    batch, classes = output.shape
    if target is None or (isinstance(target, str) and target == "predicted"):
        return output.detach().argmax(1, keepdim=True)
    if isinstance(target, str):
        raise RequestError(f'target is {target!r}, expected "predicted", "true", a class or classes')
    picked = torch.as_tensor(target, device=output.device)
    if picked.is_floating_point() or picked.dtype == torch.bool:
        raise RequestError(f"target has dtype {picked.dtype}, expected integer classes")
    if picked.ndim == 0:
        picked = picked.expand(batch, 1)
    elif picked.ndim == 1:
        picked = picked[:, None] if isinstance(target, Tensor) else picked.expand(batch, -1)
    if picked.ndim != 2 or picked.shape[0] != batch:
        raise RequestError(f"target has shape {tuple(picked.shape)}, expected ({batch},) or ({batch}, K)")
    if picked.numel() and (int(picked.min()) < 0 or int(picked.max()) >= classes):
        raise RequestError(f"target names class {int(picked.max())}, but the model has {classes} outputs")
    return picked.long()


def logits(output: Any) -> Tensor:
    """Return the tensor to explain from a model's output: itself, its "logits" or "out", or the first tensor in it."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        for key in ("logits", "out", *output):
            if isinstance(output.get(key), Tensor):
                return logits(output[key])
    elif isinstance(getattr(output, "logits", None), Tensor):
        return logits(output.logits)
    elif isinstance(output, (tuple, list)):
        for item in output:
            if isinstance(item, Tensor):
                return item
    raise EngineError(
        f"the model returns {type(output).__name__}, expected a tensor or something that holds one"
    )


def _canonizers(wanted: Literal["auto"] | Sequence[str | Canonizer]) -> list[tuple[str, Canonizer]]:
    if isinstance(wanted, str):
        wanted = registry().names("canonizer") if wanted == "auto" else [wanted]
    return [
        (c, registry().create("canonizer", c)) if isinstance(c, str) else (type(c).__name__, c)
        for c in wanted
    ]


def _is_many(target: Target) -> bool:
    return (
        target.ndim == 2
        if isinstance(target, Tensor)
        else isinstance(target, Sequence) and not isinstance(target, str)
    )


def _leaf(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        # Out of inference mode a clone is an ordinary tensor; elsewhere sharing the storage is enough.
        return (tensor.clone() if tensor.is_inference() else tensor.detach()).requires_grad_()
    return tensor


def _structured(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return inputs of the same structure with `function` applied to every tensor."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {key: function(value) for key, value in inputs.items()}
    if isinstance(inputs, Sequence) and all(isinstance(x, Tensor) for x in inputs):
        return tuple(function(x) for x in inputs)
    raise RequestError(
        f"inputs are {type(inputs).__name__}, expected a tensor, or a sequence or mapping of tensors"
    )


def _flatten(leaves: Any) -> list[Tensor]:
    values = (
        leaves.values() if isinstance(leaves, Mapping) else leaves if isinstance(leaves, tuple) else (leaves,)
    )
    return [leaf for leaf in values if leaf.requires_grad]


def _arguments(leaves: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(leaves, Mapping):
        return (), dict(leaves)
    return (leaves if isinstance(leaves, tuple) else (leaves,)), {}
