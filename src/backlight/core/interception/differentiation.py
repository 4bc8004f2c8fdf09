"""One forward pass and one modified backward pass per target: what every attribution method is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from backlight.core.composite import Composite
from backlight.core.coverage import Audit, Coverage
from backlight.core.engine import Interceptor
from backlight.core.errors import EngineError, first_line
from backlight.core.interception.inputs import Inputs, arguments, in_order, logits, structured
from backlight.core.interception.node import Run
from backlight.core.interception.plan import Plan
from backlight.core.interception.surroundings import captured, evaluation, hidden_modules
from backlight.core.interception.tokens import Tokens
from backlight.core.targets import Explained, Target, explained

_NOTHING = "there is no input to explain: no floating-point tensor was given"


@dataclass(frozen=True)
class Passed:
    """One forward pass and its modified backward passes.

    relevance: structured like the inputs; each (N, K, *input) for K targets. Where all inputs are whole
    numbers, a token has the relevance of what the model looks up for it, summed over features.
    explained: output and targets. layers: relevance of the layers asked for, (N, K, *layer).
    activations: their outputs, (N, *layer).
    """

    relevance: Any
    explained: Explained
    layers: Mapping[str, Tensor]
    activations: Mapping[str, Tensor]
    coverage: Coverage
    audit: Audit | None

    @property
    def again(self) -> Target:
        """The target that explains altered copies of the inputs for the same classes."""
        return self.explained.again


@dataclass
class Differentiator:
    """Runs a model under a plan; an attribution method is handed one and calls it as often as it needs.

    layers: names of modules whose relevance is wanted in every pass. strict: refuse operations no rule
    covers.
    first: the first pass or evaluation, which must be of the inputs themselves: it says what is explained.
    attached: keep relevance and output attached to inputs and parameters, so that they can be differentiated.
    """

    model: nn.Module
    plan: Plan | None
    layers: tuple[str, ...] = ()
    strict: bool = False
    audit: bool = False
    attached: bool = False
    first: Explained | None = None
    last: Passed | None = field(default=None, repr=False)

    def __call__(
        self, inputs: Inputs, target: Target = None, *, layers: Sequence[str] = (), unit: bool | None = None
    ) -> Passed:
        """Explain `inputs` by one forward pass and one modified backward pass for each target.

        layers: further modules whose relevance and activation are wanted. unit: start the backward pass from
        the slope of the explained value rather than from the value; by default as the composite says.
        """
        if self.plan is not None:
            self.plan.derived.notice(_shaped(self.model))
        passed = self._run(inputs, target, (*self.layers, *layers), unit, self.plan, self.audit)
        self.first = self.first or passed.explained
        self.last = passed
        if self.plan is not None:
            self.plan.derived.sweep()
        return passed

    def evaluate(self, inputs: Inputs, target: Target = None) -> Explained:
        """Run the forward pass alone and say what `target` means for its output."""
        with evaluation(self.model), torch.no_grad():
            args, kwargs = arguments(structured(inputs, lambda t: t.detach().clone()))
            found = explained(_batched(logits(self.model(*args, **kwargs))), target)
        self.first = self.first or found
        return found

    def shapes(self, inputs: Inputs) -> dict[str, torch.Size]:
        """Return the output shape of every module that runs and returns a tensor, in order of completion."""
        names = [name for name, _ in self.model.named_modules() if name]
        first = structured(inputs, lambda t: t[:1].detach().clone())
        with evaluation(self.model), torch.no_grad(), captured(self.model, names, lambda t: t) as outputs:
            args, kwargs = arguments(first)
            self.model(*args, **kwargs)
        return {name: out.shape for name, out in outputs.items() if isinstance(out, Tensor)}

    def _run(
        self,
        inputs: Inputs,
        target: Target,
        layers: Sequence[str],
        unit: bool | None,
        plan: Plan | None,
        audit: bool,
    ) -> Passed:
        interceptor = None if plan is None else Interceptor(plan, audit, self.attached)
        settle = None if interceptor is None else interceptor.aliases.current
        with evaluation(self.model), captured(self.model, layers, settle) as outputs:
            leaves = structured(inputs, _attached_leaf if self.attached else _leaf)
            flat = _differentiable(leaves)
            tokens = None if flat else Tokens(in_order(leaves))
            if interceptor is None and tokens is not None:  # plain gradients, watched to find the embedding
                interceptor = Interceptor(Plan.of(self.model, Composite(()), ()), audit, self.attached)
            output = self._forward(leaves, flat, tokens, interceptor)
            flat = flat if tokens is None else [looked_up for _, looked_up in tokens.embedded]
            coverage = self._coverage(interceptor)
            found = explained(output, target)
            found = found.attached(output) if self.attached else found
            watched = [*flat, *(_layer(name, outputs) for name in layers)]
            absorbed = interceptor.merger.absorbed if interceptor else {}
            if unit is None:
                unit = plan is None or plan.composite.start == "slope"
            many = range(found.classes.shape[1])
            starts = [found.weights(k) if unit else found.share(k) for k in many]
            run = interceptor.run if interceptor else Run(attached=self.attached)
            pulled = []
            for start in starts:
                run.final = start is starts[-1] and not self.attached
                pulled.append(_pull(output, start, watched, absorbed, run))
            run.explaining = False
        relevance = [torch.stack(parts, 1) for parts in zip(*pulled, strict=True)]
        record = None
        if interceptor is not None and interceptor.audit is not None:
            returned = sum(float(r.sum(dtype=torch.float64)) for r in relevance[: len(flat)])
            received = float(sum(s.sum(dtype=torch.float64) for s in starts))
            record = Audit(tuple(interceptor.audit), received, returned)
        of_layers = dict(zip(layers, relevance[len(flat) :], strict=True))
        of_inputs = relevance[: len(flat)] if tokens is None else tokens.shares(relevance[: len(flat)])
        shaped = iter(of_inputs)

        def share(leaf: Tensor) -> Tensor:
            if tokens is not None or leaf.requires_grad:
                return next(shaped)
            return leaf.new_zeros((leaf.shape[0], len(starts), *leaf.shape[1:]))

        kept = {name: outputs[name].detach() for name in layers}
        passed = Passed(structured(leaves, share), found, of_layers, kept, coverage, record)
        if not audit and not all(bool(r.isfinite().all()) for r in (found.values(), *relevance)):
            self._accuse(inputs, target)
        return passed

    def _coverage(self, interceptor: Interceptor | None) -> Coverage:
        if interceptor is None:
            return Coverage(())
        covered = [*interceptor.covered, *hidden_modules(self.model)]
        names = tuple(name for name, _ in interceptor.plan.canonizers)
        coverage = Coverage(tuple(covered), names, interceptor.broken)
        composite = interceptor.plan.composite
        if composite.entries and coverage.uncovered and "rule" not in coverage.counts:
            raise EngineError(
                f"composite {composite.name!r} has a rule for none of the {len(covered)} operations "
                f"of the model, such as {coverage.uncovered[0].site}"
            )
        if self.strict and coverage.uncovered:
            listed = "; ".join(str(c.site) for c in coverage.uncovered[:5])
            raise EngineError(f"no rule covers {len(coverage.uncovered)} operation(s): {listed}")
        return coverage

    def _forward(
        self, leaves: Any, flat: list[Tensor], tokens: Tokens | None, interceptor: Interceptor | None
    ) -> Tensor:
        # A model whose first operation is in place could not write on a leaf; on its copy it can.
        args, kwargs = arguments(leaves if interceptor else structured(leaves, torch.clone))
        if interceptor is None:
            output = logits(self.model(*args, **kwargs))
        else:
            interceptor.start(flat, tokens)
            try:
                with interceptor:
                    raw = self.model(*args, **kwargs)
            except RuntimeError as error:
                if tokens is None or tokens.embedded:
                    raise
                told = f"the model does not take whole numbers: {first_line(error)}"
                raise EngineError(f"{_NOTHING}, and {told}") from error
            output = interceptor.aliases.current(logits(raw))
            interceptor.finish()
        if tokens is not None and not tokens.embedded:
            raise EngineError(f"{_NOTHING}, and the model looks up no embedding of a whole-number one")
        if not output.is_floating_point() or not output.requires_grad:
            raise EngineError(
                f"the output of {type(self.model).__name__} ({output.dtype}, {tuple(output.shape)}) does not "
                "depend differentiably on the input; expected a path of differentiable operations between"
            )
        return _batched(output)

    def _accuse(self, inputs: Inputs, target: Target) -> None:
        """Explain once more, watching every operation, and name the one where numbers cease to be finite."""
        for number, leaf in enumerate(_differentiable(structured(inputs, _leaf))):
            bad = (~leaf.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
            if bad:
                raise EngineError(f"input {number} holds NaN or infinity in sample(s) {_few(bad)}")
        plan = self.plan or Plan.of(self.model, Composite(()), ())
        watch = replace(self, plan=plan, strict=False, attached=False, first=None, last=None)
        passed = watch._run(inputs, target, (), None, plan, audit=True)
        broken = passed.coverage.broken
        if broken is not None:
            raise EngineError(f"{broken} computes NaN or infinity from finite numbers")
        assert passed.audit is not None
        for audited in passed.audit.operations:
            if not audited.finite:
                raise EngineError(
                    f"relevance is NaN or infinite after {audited.site}; "
                    "a larger epsilon keeps denominators from zero"
                )
        raise EngineError("relevance is NaN or infinite, from an operation that no rule covers")


def _pull(
    output: Tensor,
    start: Tensor,
    watched: list[Tensor],
    absorbed: Mapping[Tensor, list[tuple[Tensor, slice | None]]],
    run: Run,
) -> list[Tensor]:
    """Return the relevance of every watched tensor; one merged into later operations has theirs too."""
    merged = [absorbed.get(w, []) for w in watched]
    also = [result for pairs in merged for result, _ in pairs]
    keep: Any = {"retain_graph": not run.final, "create_graph": run.attached, "allow_unused": True}
    found = torch.autograd.grad(output, [*watched, *also], start.to(output.dtype), **keep)
    extra = iter(found[len(watched) :])
    parts = []
    for tensor, own, pairs in zip(watched, found, merged, strict=False):
        shares = [] if own is None else [own]
        for _, channels in pairs:
            if (share := next(extra)) is not None:
                shares.append(share if channels is None else share[:, channels])
        total = torch.stack(shares).sum(0) if shares else torch.zeros_like(tensor)
        parts.append(total if run.attached else total.detach())
    return parts


def _shaped(model: nn.Module) -> list[Tensor]:
    """Return parameters and buffers; EngineError if a lazy module does not know its shape yet."""
    named = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in named:
        if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
            raise EngineError(
                f"{name} of the model has no shape yet; run the model once before explaining it"
            )
    return [tensor for _, tensor in named]


def _leaf(tensor: Tensor) -> Tensor:
    """Return a copy to be explained: the user's tensor stays what it is, whatever the model does in place."""
    copy = tensor.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def _attached_leaf(tensor: Tensor) -> Tensor:
    """Return a copy to be explained that gradients of the relevance go through."""
    return tensor.clone() if tensor.requires_grad else _leaf(tensor)


def _layer(name: str, outputs: Mapping[str, Any]) -> Tensor:
    """Return the output of the layer `name` as the graph holds it."""
    if name not in outputs:
        raise EngineError(f"layer {name!r} did not run, so it has no relevance")
    output = outputs[name]
    if not isinstance(output, Tensor):
        raise EngineError(f"layer {name!r} returns {type(output).__name__}, expected a tensor")
    if not output.requires_grad:
        raise EngineError(f"the output of layer {name!r} does not depend differentiably on the input")
    return output


def _batched(output: Tensor) -> Tensor:
    return output.reshape(-1, 1) if output.ndim == 1 else output


def _differentiable(leaves: Any) -> list[Tensor]:
    return [leaf for leaf in in_order(leaves) if leaf.requires_grad]


def _few(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (" …" if len(numbers) > 5 else "")
