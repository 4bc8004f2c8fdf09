"""Intercepts operations, applies rules, leaves no trace.

During the explained forward pass a TorchFunctionMode sees every call. One that a composite covers is computed
as the model would, then becomes a node of autograd's graph whose backward is the rule; the rest keeps its own
gradient. The user's model is never written to: there is nothing to restore but its train flags.

What it takes lies in `core/interception/`: the functions known, the nodes, the merging of batch norm, …
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from backlight.core.coverage import Audited, Covered, Treatment
from backlight.core.derived import Fresh
from backlight.core.interception.aliases import Aliases
from backlight.core.interception.attachment import Attachment
from backlight.core.interception.computation import Computation
from backlight.core.interception.functions import (
    CONCATENATIONS,
    FUNCTIONS,
    ROUTE,
    Function,
    bind_batch_norm,
    bind_convolution,
    bind_linear,
    bind_named,
    bind_transposed,
    convolution_map,
    is_fixed,
)
from backlight.core.interception.lineage import non_negative, origin, yields_non_negative
from backlight.core.interception.merging import Merged, Merger, Norm, Producer, verify
from backlight.core.interception.node import Explained, Run
from backlight.core.interception.plan import Matcher, Plan
from backlight.core.interception.tensors import all_finite, map_tensors, tensors_in
from backlight.core.interception.tokens import Tokens
from backlight.core.linear_maps import DenseMap, FunctionMap, LinearMap
from backlight.core.ops import AffineOp, Call, Op, Site
from backlight.core.rule import Rule

_GET = "__get__"
_MODULE_CALL: types.CodeType = nn.Module.__call__.__code__
_SELF = _MODULE_CALL.co_varnames[0]
_LAZY = ("activation", "scale", "normalisation", "softmax")
"""Kinds whose rules seldom need the operation's own gradient: it is computed when one does."""
_INPLACE_ELSEWHERE = ("requires_grad_", "detach_", "retain_grad", "share_memory_")


class Interceptor(TorchFunctionMode):
    """One explained forward pass."""

    def __init__(self, plan: Plan, audit: bool = False, attached: bool = False) -> None:
        super().__init__()
        self.plan = replace(plan, derived=Fresh()) if attached else plan
        self.run = Run(attached=attached)
        self.attachment = Attachment() if attached else None
        """What keeps parameters attached, if the relevance is to be differentiated."""
        self.covered: list[Covered] = []
        self.audit: list[Audited] | None = [] if audit else None
        self.broken: Site | None = None
        """First operation that computed NaN or infinity from finite numbers, looked for when auditing."""
        self.aliases = Aliases()
        self._matcher = Matcher(self.plan)
        self._inputs: set[int] = set()
        self.tokens: Tokens | None = None
        self.merger = Merger(self.plan)

    def start(self, leaves: Sequence[Tensor], tokens: Tokens | None = None) -> None:
        """Name the leaves that are being explained; any other leaf is a parameter and a constant here.

        tokens: whole-number inputs, where these are explained: what is looked up for them becomes a leaf.
        """
        self._inputs = {id(leaf) for leaf in leaves}
        self.tokens = tokens

    def finish(self) -> None:
        """Decide rules that depend on how many operations there were in all; call when the model has run."""
        self._matcher.decide(self.covered)
        self.merger.forget()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", None) == _GET:
            return self._property(func, args)
        changed = args[0] if args else next(iter(kwargs.values()), None)
        args = map_tensors(args, self._settle)
        kwargs = {k: map_tensors(v, self._settle) for k, v in kwargs.items()}
        live = [t for t in tensors_in((args, kwargs)) if t.requires_grad]
        if not live or not torch.is_grad_enabled():
            if args and isinstance(args[0], Tensor) and args[0].requires_grad and _writes(func, args, kwargs):
                return self._unrecorded(func, args, kwargs, changed)
            return self._constant(func, args, kwargs)
        for name, canonizer in self.plan.canonizers:
            if (parts := canonizer.decompose(func)) is not None:
                return self._decompose(name, func, parts, args, kwargs)
        watched = self.audit is not None and self.broken is None and all_finite(live)
        if watched and (known := FUNCTIONS.get(func)) is not None and known.kind in (ROUTE, "sum"):
            watched = all_finite((args, kwargs))  # a mask of -inf is no accident
        result = self._computed(func, args, kwargs, live, changed)
        if watched and not all_finite(map_tensors(result, self.aliases.current)):
            self.broken = self.covered[-1].site
        return result

    def _constant(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute what depends on no explained tensor: parameters, masks, tokens up to their embedding."""
        result = func(*self._attach(args), **self._attach(kwargs))
        found = None if self.tokens is None else self.tokens.follow(func, (args, kwargs), result)
        if found is not None:
            self._inputs.add(id(found))
            self._record("embedding", ROUTE, "routed")
            return found
        return result if self.attachment is None else self.attachment.mark(result)

    def _computed(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        live: list[Tensor],
        changed: Any,
    ) -> Any:
        function = FUNCTIONS.get(func)
        if function is None:
            return self._unknown(func, args, kwargs, live, changed)
        given = args[0] if args else kwargs["input"]
        args, kwargs, inplace = function.bind(args, kwargs)
        result = self._known(function, args, kwargs, live)
        if not inplace:
            return result
        if result is not given:  # dropout in evaluation returns what it was given
            self.aliases.write(changed, result)
        return changed

    def _unrecorded(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], changed: Any
    ) -> Any:
        """Write on a signal where the model switched gradients off: values change, relevance goes through."""
        signal = args[0]
        copy = signal.detach().clone()
        func(copy, *args[1:], **kwargs)
        with torch.enable_grad():
            self.aliases.write(changed, signal + (copy - signal.detach()))
        self._record(getattr(func, "__name__", str(func)).strip("_"), ROUTE, "routed")
        return changed

    def _decompose(
        self,
        name: str,
        func: Callable[..., Any],
        parts: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        with self:  # the mode is off in here; the parts must be seen
            result = parts(*args, **kwargs)
        path, module = self._executing()
        if (name, path) not in self.plan.verified:
            with torch.no_grad():
                expected, again = func(*args, **kwargs), func(*args, **kwargs)
            site = Site(getattr(func, "__name__", str(func)), "decomposed", path, module, len(self.covered))
            for got, wanted, other in zip(*map(tensors_in, (result, expected, again)), strict=False):
                # With dropout, it differs every time.
                if torch.equal(wanted.nan_to_num(), other.nan_to_num()):
                    verify(name, site, got, wanted)
            self.plan.verified.add((name, path))
        return result

    def _settle(self, tensor: Tensor) -> Tensor:
        """Return the tensor an operation should really see: its replacement, and parameters as constants."""
        tensor = self.aliases.current(tensor)
        if not tensor.requires_grad:
            return tensor
        parameter = tensor.is_leaf and id(tensor) not in self._inputs
        if self.attachment is None:
            return tensor.detach() if parameter else tensor
        return self.attachment.alias(tensor) if parameter or self.attachment.constant(tensor) else tensor

    def _attach(self, value: Any) -> Any:
        """Return `value` with parameters attached, if the relevance is to be differentiated."""
        return value if self.attachment is None else self.attachment.attach(value)

    def _property(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        owner = self._settle(args[0]) if isinstance(args[0], Tensor) else args[0]
        # `.grad`, `.requires_grad` and the like must speak of the tensor asked, not of a detached copy.
        found = func(owner, *args[1:])
        if not isinstance(found, Tensor):
            return func(*args)
        if self.attachment is None or owner is self.aliases.current(args[0]):
            return found
        return self.attachment.mark(func(self._attach(owner), *args[1:]))

    def _unknown(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        live: list[Tensor],
        changed: Any,
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        if args and isinstance(args[0], Tensor) and _writes(func, args, kwargs):
            # Written on a copy: rules still need the values that went through here before.
            copy = args[0].clone()
            func(copy, *self._attach(args[1:]), **self._attach(kwargs))
            self.aliases.write(changed, copy)
            self._record(name.strip("_"), ROUTE, "routed" if name in ("__setitem__", "copy_") else "gradient")
            return changed
        result = func(*self._attach(args), **self._attach(kwargs))
        made = [t for t in tensors_in(result) if not any(t is signal for signal in live)]
        if made:
            flows = any(t.requires_grad for t in made)
            self._record(name.strip("_"), "other", "gradient" if flows else "not differentiable")
        return result

    def _known(
        self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], live: list[Tensor]
    ) -> Any:
        if function.kind == ROUTE:
            self._record(function.name, ROUTE, "routed")
            routed = function.functional(*self._attach(args), **self._attach(kwargs))
            if function.name in CONCATENATIONS:
                self.merger.join(routed, *args, **kwargs)
            return routed
        if function.kind in ("linear", "convolution"):
            return self._affine(function, args, kwargs)
        kind = function.kind
        if kind == "product" and len(live) == 1:
            kind = "scale"
        elif kind == "matmul" and len(live) == 1:
            if (linear := self._as_linear(function, args, kwargs)) is not None:
                return linear
            kind = "sum"
        elif kind == "batch-norm":
            given = bind_batch_norm(*args, **kwargs)
            if not is_fixed(given):
                kind = "normalisation"
            elif len(live) == 1 and given["input"].requires_grad:
                return self._batch_norm(function, given)
            else:
                return self._conditional_norm(function, given)
        return self._plain(function, kind, args, kwargs)

    def _plain(self, function: Function, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation without weights; its gradient is kept as the operation's own map."""
        site = self._site(function.name, kind)
        two_results = kwargs.get("return_indices") or site.name.endswith("indices")
        rule = None if two_results else self._matcher.match(site, len(self.covered))
        if rule is None:
            self._record_site(site, "routed" if kind == "max-pool" else "gradient")
            return function.functional(*self._attach(args), **self._attach(kwargs))
        signals = tuple(t for t in tensors_in((args, kwargs)) if t.requires_grad)
        constants = [] if self.attachment is None else self.attachment.among((args, kwargs))
        aliases = tuple(alias for alias, _ in constants)
        again = Computation(function.functional, args, kwargs, signals, aliases)
        kept = None if kind in _LAZY else again.recorded()
        if kept is None:
            with torch.no_grad():
                output = function.functional(*args, **kwargs)
        else:
            output = kept[0].detach()
        pull = functools.partial(again.pull, kept=kept)
        op = Op(site, tuple(t.detach() for t in signals), output, self.plan.derived, pull)
        op.arguments = self._attach(bind_named(function, args, kwargs))
        if self.attachment is not None:
            op.replay, op.constants = again, tuple(constant for _, constant in constants)
        if kind in ("product", "matmul"):
            op.origins = tuple(origin(t) for t in signals)
        bare = kind not in ("sum", "product") or len(signals) > 1 or site.name == "sum"
        op.memo["non-negative output"] = yields_non_negative(op, signals, constants=not bare)
        return self._explain(op, rule, output.detach(), list(signals))

    def _affine(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        transposed = "transpose" in function.name
        binder = (
            bind_linear if function.kind == "linear" else bind_transposed if transposed else bind_convolution
        )
        given = binder(*args, **kwargs)
        if given["weight"].requires_grad or (given["bias"] is not None and given["bias"].requires_grad):
            plain: Tensor = self._plain(function, "matmul", args, kwargs)
            return plain
        given = self._attach(given)
        signal: Tensor = given["input"]
        map_: LinearMap = DenseMap()
        if function.kind == "convolution":
            if signal.ndim == given["weight"].ndim - 1:  # a lone sample
                batched = self._affine(function, (), given | {"input": signal.unsqueeze(0)})
                return batched.squeeze(0)
            map_ = convolution_map(given, transposed)
        with torch.no_grad():
            output = function.functional(**given)
        return self._linear_map(
            function.name, function.kind, map_, signal, given["weight"], given["bias"], output
        )

    def _as_linear(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Treat a product with a constant tensor, such as x @ W, as a dense layer or another linear map."""
        tensors = list(tensors_in((args, kwargs)))
        if len(tensors) != 2:
            return None
        x, weight = self._attach(tensors if tensors[0].requires_grad else tensors[::-1])
        map_: LinearMap = DenseMap()
        dense = function.name in ("matmul", "mm") and x is tensors[0] and weight.ndim == 2 and x.ndim >= 2
        if dense:
            weight = weight.mT
        else:

            def both(signal: Tensor, other: Tensor) -> Tensor:
                def swap(tensor: Tensor) -> Tensor:
                    return signal if tensor is x else other

                made: Tensor = function.functional(
                    *map_tensors(args, swap), **{k: map_tensors(v, swap) for k, v in kwargs.items()}
                )
                return made

            map_ = FunctionMap(both)
        with torch.no_grad():
            output = function.functional(*args, **kwargs)
        return self._linear_map(function.name, "linear", map_, x, weight, None, output)

    def _linear_map(
        self,
        name: str,
        kind: str,
        map_: LinearMap,
        signal: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        output: Tensor,
    ) -> Tensor:
        site = self._site(name, kind)
        rule = self._matcher.match(site, len(self.covered))
        if rule is None:
            self._record_site(site, "gradient")
            full = map_.apply(signal, weight)
            return full if bias is None else full + map_.on_outputs(bias)
        op = AffineOp(
            site, (signal.detach(),), output.detach(), self.plan.derived, map=map_, weight=weight, bias=bias
        )
        if (after := self.merger.after(op, signal)) is not None:
            op, signal, norm, canonizer = after
            self.covered[norm.op.site.index] = Covered(norm.op.site, "merged", canonizer)
        if non_negative(signal):
            op.memo["non-negative"] = True
        result = self._explain(op, rule, output, [signal])
        self.merger.producers[result] = Producer(op, signal, rule)
        return result

    def _batch_norm(self, function: Function, given: dict[str, Any]) -> Tensor:
        """Explain batch norm together with the affine operations before it, or as one of its own."""
        given = self._attach(given)
        signal: Tensor = given["input"]
        site = self._site(function.name, function.kind)
        with torch.no_grad():
            output: Tensor = function.functional(**given)
        call = Call(site, function.functional, given, (signal,))
        merged = self.merger.before(call, output, lambda: self._matcher.match(site, len(self.covered)))
        if merged is not None:
            return self._with_what_made_it(merged, site)
        rule = self._matcher.match(site, len(self.covered))
        if rule is None:
            self._record_site(site, "gradient")
            plain: Tensor = function.functional(**given)
            return plain
        op = self.merger.alone(call, output.detach())
        result = self._explain(op, rule, output, [signal])
        self.merger.norms[result] = Norm(call, op, signal)
        return result

    def _conditional_norm(self, function: Function, given: dict[str, Any]) -> Tensor:
        """Take batch norm apart whose scale or shift depends on the input: a norm, a product and a sum."""
        plain = given | {"weight": None, "bias": None}
        channels = (1, -1, *(1 for _ in given["input"].shape[2:]))
        with self:  # the mode is off in here; the parts must be seen
            result: Tensor = function.functional(**plain)
            if given["weight"] is not None:
                result = result * given["weight"].reshape(channels)
            return result if given["bias"] is None else result + given["bias"].reshape(channels)

    def _with_what_made_it(self, merged: Merged, site: Site) -> Tensor:
        if merged.complete:
            self._record_site(site, "merged", merged.canonizer)
        else:
            parts = f"merged in {len(merged.sources)} of {len(merged.op.inputs)} parts"
            told = f"{merged.own!r}, {parts}" if merged.own else parts
            self._record_site(site, "rule" if merged.own else "gradient", told)
        op, rule = merged.op, merged.rule
        made = [merged.output]
        merged.output = op.output  # not the result itself, which would keep itself alive
        result: Tensor = Explained.apply(
            self.run, op, rule, self.audit, made, *merged.signals, *op.attachable
        )
        if isinstance(op, AffineOp):
            self.merger.producers[result] = Producer(op, merged.signals[0], rule)
        result = merged.view(result)
        for source, channels in merged.sources:
            self.merger.absorbed.setdefault(source, []).append((result, channels))
        return result

    def _explain(self, op: Op, rule: Rule, output: Tensor, signals: list[Tensor]) -> Tensor:
        self._record_site(op.site, "rule", repr(rule))
        result: Tensor = Explained.apply(self.run, op, rule, self.audit, [output], *signals, *op.attachable)
        return result

    def _site(self, name: str, kind: str) -> Site:
        path, module = self._executing()
        return Site(name, kind, path, module, len(self.covered))

    def _executing(self) -> tuple[str, str]:
        """Return path and class of the module whose forward is running, read off the stack.

        Module hooks would tell too, but they would be a trace on the user's model, one more to remove.
        """
        frame: types.FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code is _MODULE_CALL:
                found = self.plan.paths.get(id(frame.f_locals[_SELF]))
                if found is not None:
                    return found
            frame = frame.f_back
        return "", "function"

    def _record(self, name: str, kind: str, treatment: Treatment) -> None:
        self._record_site(self._site(name, kind), treatment)

    def _record_site(self, site: Site, treatment: Treatment, rule: str = "") -> None:
        self.covered.append(Covered(site, treatment, rule))


def _writes(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether a call changes its first argument."""
    if (function := FUNCTIONS.get(func)) is not None:
        return function.bind(args, kwargs)[2]
    name = getattr(func, "__name__", str(func))
    if name.startswith("__"):
        return name == "__setitem__" or name in ("__ipow__", "__imod__", "__ifloordiv__")
    return name.endswith("_") and name not in _INPLACE_ELSEWHERE
