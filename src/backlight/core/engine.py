"""The only file that talks to autograd: intercepts operations, applies rules, leaves no trace.

During the explained forward pass a TorchFunctionMode sees every call. One that a composite covers is computed as
the model would, then becomes an autograd node whose backward is the rule; the rest keeps its own gradient. The
user's model is never written to, so there is nothing to restore but its train flags.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from backlight.core.canonizer import Canonizer
from backlight.core.composite import Composite
from backlight.core.coverage import Audited, Covered, Treatment
from backlight.core.errors import EngineError, unknown
from backlight.core.functions import (
    FUNCTIONS,
    ROUTE,
    Function,
    bind_batch_norm,
    bind_convolution,
    bind_linear,
    bind_transposed,
    convolution_map,
)
from backlight.core.ops import AffineOp, Call, DenseMap, Derived, LinearMap, Op, Site
from backlight.core.rule import Rule

_GET = "__get__"
_MODULE_CALL: types.CodeType = nn.Module.__call__.__code__  # type: ignore[attr-defined]
_SELF = _MODULE_CALL.co_varnames[0]
_INPLACE_ELSEWHERE = ("requires_grad_", "detach_", "retain_grad", "share_memory_")


class _Explained(torch.autograd.Function):
    """An operation whose backward is a rule."""

    @staticmethod
    def forward(
        ctx: Any, op: Op, rule: Rule, audit: list[Audited] | None, output: list[Tensor], *signals: Tensor
    ) -> Tensor:
        ctx.op, ctx.rule, ctx.audit = op, rule, audit
        return output.pop()  # handed over in a list: a tensor argument would come back as a view of itself

    @staticmethod
    def backward(ctx: Any, *relevances: Tensor) -> Any:
        (relevance,) = relevances
        with torch.no_grad():
            found = ctx.rule.propagate(ctx.op, relevance)
        shares = found if isinstance(found, tuple) else (found,)
        if ctx.audit is not None:
            returned = sum(float(s.sum(dtype=torch.float64)) for s in shares if s is not None)
            ctx.audit.append(Audited(ctx.op.site, float(relevance.sum(dtype=torch.float64)), returned))
        return None, None, None, None, *shares


@dataclass
class _Producer:
    """The affine operation that made a tensor, kept so that a batch norm after it can be merged."""

    op: AffineOp
    signal: Tensor
    rule: Rule


@dataclass(frozen=True)
class Plan:
    """What an explanation needs to know of its model: the rules in order of precedence, canonizers, module paths."""

    composite: Composite
    rules: tuple[Rule, ...]
    canonizers: tuple[tuple[str, Canonizer], ...]
    paths: Mapping[int, tuple[str, str]]
    derived: Derived = field(default_factory=Derived)

    @classmethod
    def of(cls, model: nn.Module, composite: Composite, canonizers: Sequence[tuple[str, Canonizer]]) -> Plan:
        """Build the rules and keep the canonizers that apply to the model."""
        paths = {id(m): (path, type(m).__name__) for path, m in model.named_modules()}
        used = tuple((name, c) for name, c in canonizers if c.applies(model))
        return cls(composite, tuple(entry.build() for entry in composite.entries), used, paths)


class Interceptor(TorchFunctionMode):
    """One explained forward pass."""

    def __init__(self, plan: Plan, audit: bool = False) -> None:
        super().__init__()
        self.plan = plan
        self.covered: list[Covered] = []
        self.audit: list[Audited] | None = [] if audit else None
        self._positions = [0] * len(plan.rules)
        self._inputs: set[int] = set()
        self.absorbed: Any = WeakTensorKeyDictionary()
        """Output of an operation that was merged into the next -> output of the merged operation."""
        self._producers: Any = WeakTensorKeyDictionary()
        self._replaced: Any = WeakTensorKeyDictionary()

    def start(self, leaves: Sequence[Tensor]) -> None:
        """Name the leaves that are being explained; any other leaf is a parameter and a constant here."""
        self._inputs = {id(leaf) for leaf in leaves}

    def current(self, tensor: Tensor) -> Tensor:
        """Return what stands for `tensor` now: in-place operations are answered by new tensors."""
        while (newer := self._replaced.get(tensor)) is not None:
            tensor = newer
        return tensor

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
        for _, canonizer in self.plan.canonizers:
            if (decomposed := canonizer.decompose(func)) is not None:
                with self:  # the mode is off in here; the parts must be seen
                    return decomposed(*args, **kwargs)
        args, kwargs = _map(args, self._settle), {k: _map(v, self._settle) for k, v in kwargs.items()}
        live = [t for t in _tensors((args, kwargs)) if t.requires_grad]
        if not live or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        function = FUNCTIONS.get(func)
        if function is None:
            return self._unknown(func, args, kwargs, live)
        args, kwargs, inplace = function.bind(args, kwargs)
        result = self._known(function, args, kwargs, live)
        changed = args[0] if args else kwargs["input"]
        if inplace and result is not changed:  # dropout in evaluation returns what it was given
            self._replaced[changed] = result
        return result

    def _settle(self, tensor: Tensor) -> Tensor:
        """Return the tensor an operation should really see: its replacement, and parameters as constants."""
        tensor = self.current(tensor)
        return (
            tensor.detach()
            if tensor.requires_grad and tensor.is_leaf and id(tensor) not in self._inputs
            else tensor
        )

    def _property(self, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        owner = self._settle(args[0]) if isinstance(args[0], Tensor) else args[0]
        # `.grad`, `.requires_grad` and the like must speak of the tensor that was asked, not of a detached copy.
        found = func(owner, *args[1:])
        return found if isinstance(found, Tensor) else func(*args)

    def _unknown(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], live: list[Tensor]
    ) -> Any:
        name = getattr(func, "__name__", str(func))
        mutates = name == "__setitem__" or (
            name.endswith("_") and not name.endswith("__") and name not in _INPLACE_ELSEWHERE
        )
        if mutates and args and isinstance(args[0], Tensor):
            # Written on a copy: rules still need the values that went through here before.
            copy = args[0].clone()
            func(copy, *args[1:], **kwargs)
            self._replaced[args[0]] = copy
            self._record(name.strip("_"), ROUTE, "routed" if name in ("__setitem__", "copy_") else "gradient")
            return copy
        result = func(*args, **kwargs)
        made = [t for t in _tensors(result) if not any(t is signal for signal in live)]
        if made:
            flows = any(t.requires_grad for t in made)
            self._record(name.strip("_"), "other", "gradient" if flows else "not differentiable")
        return result

    def _known(
        self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], live: list[Tensor]
    ) -> Any:
        if function.kind == ROUTE:
            self._record(function.name, ROUTE, "routed")
            return function.functional(*args, **kwargs)
        if function.kind in ("linear", "convolution"):
            return self._affine(function, args, kwargs)
        if function.kind == "matmul" and (dense := self._as_linear(function, args, kwargs)) is not None:
            return dense
        kind = "scale" if function.kind == "product" and len(live) == 1 else function.kind
        if function.kind == "scale" and len(live) > 1:
            kind = "other"
        if kind == "batch-norm" and (merged := self._merge(function, args, kwargs)) is not None:
            return merged
        return self._plain(function, kind, args, kwargs)

    def _plain(self, function: Function, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute an operation without weights; under a rule its gradient is kept as the operation's own map."""
        site = self._site(function.name, kind)
        rule = self._match(site)
        if rule is None:
            self._record_site(site, "gradient")
            return function.functional(*args, **kwargs)
        signals: list[Tensor] = []
        copies: list[Tensor] = []

        def copy(tensor: Tensor) -> Tensor:
            if not tensor.requires_grad:
                return tensor
            signals.append(tensor)
            copies.append(tensor.detach().requires_grad_())
            return copies[-1]

        own = function.functional(*_map(args, copy), **{k: _map(v, copy) for k, v in kwargs.items()})

        def pull(s: Tensor) -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                return torch.autograd.grad(own, copies, s, retain_graph=True, allow_unused=True)

        inputs = tuple(c.detach() for c in copies)
        op = Op(site, inputs, own.detach(), self.plan.derived, pull)
        return self._explain(op, rule, own.detach(), signals)

    def _affine(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        transposed = "transpose" in function.name
        binder = (
            bind_linear if function.kind == "linear" else bind_transposed if transposed else bind_convolution
        )
        given = binder(*args, **kwargs)
        if given["weight"].requires_grad or (given["bias"] is not None and given["bias"].requires_grad):
            return self._plain(function, "matmul", args, kwargs)
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
        """Treat x @ W with a constant matrix W as a dense layer."""
        if len(args) != 2 or kwargs or not all(isinstance(a, Tensor) for a in args):
            return None
        x, weight = args
        if weight.requires_grad or weight.ndim != 2 or x.ndim < 2:
            return None
        with torch.no_grad():
            output = function.functional(x, weight)
        return self._linear_map(function.name, "linear", DenseMap(), x, weight.mT, None, output)

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
        rule = self._match(site)
        if rule is None:
            self._record_site(site, "gradient")
            full = map_.apply(signal, weight)
            return full if bias is None else full + map_.on_outputs(bias)
        op = AffineOp(
            site, (signal.detach(),), output.detach(), self.plan.derived, map=map_, weight=weight, bias=bias
        )
        result = self._explain(op, rule, output, [signal])
        self._producers[result] = _Producer(op, signal, rule)
        return result

    def _merge(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """Explain an affine operation and the batch norm after it as one, if a canonizer knows how."""
        given = bind_batch_norm(*args, **kwargs)
        before: _Producer | None = self._producers.get(given["input"])
        if before is None:
            return None
        site = self._site(function.name, function.kind)
        call = Call(site, function.functional, given, (given["input"],))
        for name, canonizer in self.plan.canonizers:
            merged = canonizer.merge(call, before.op, self.plan.derived)
            if merged is None:
                continue
            with torch.no_grad():
                output = function.functional(*args, **kwargs)
            self.covered.append(Covered(site, "merged", name))
            weight, bias = merged
            op = AffineOp(
                before.op.site,
                before.op.inputs,
                output.detach(),
                self.plan.derived,
                map=before.op.map,
                weight=weight,
                bias=bias,
            )
            result = _Explained.apply(op, before.rule, self.audit, [output], before.signal)
            self._producers[result] = _Producer(op, before.signal, before.rule)
            self.absorbed[given["input"]] = result
            return result
        return None

    def _explain(self, op: Op, rule: Rule, output: Tensor, signals: list[Tensor]) -> Tensor:
        self._record_site(op.site, "rule", repr(rule))
        result: Tensor = _Explained.apply(op, rule, self.audit, [output], *signals)
        return result

    def _match(self, site: Site) -> Rule | None:
        """Return the rule of the first entry that fits; positions count per entry."""
        found: Rule | None = None
        for number, entry in enumerate(self.plan.composite.entries):
            if not entry.match.fits(site):
                continue
            position = self._positions[number]
            self._positions[number] += 1
            if found is None and entry.match.position in (None, position):
                found = self.plan.rules[number]
        return found

    def _site(self, name: str, kind: str) -> Site:
        path, module = self._executing()
        return Site(name, kind, path, module, len(self.covered))

    def _executing(self) -> tuple[str, str]:
        """Return path and class of the module whose forward is running, read off the stack.

        Module hooks would tell too, but they would be a trace on the user's model and one more state to restore.
        """
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code is _MODULE_CALL:
                found = self.plan.paths.get(id(frame.f_locals[_SELF]))
                if found is not None:
                    return found
            frame = frame.f_back  # type: ignore[assignment]
        return "", "function"

    def _record(self, name: str, kind: str, treatment: Treatment) -> None:
        self._record_site(self._site(name, kind), treatment)

    def _record_site(self, site: Site, treatment: Treatment, rule: str = "") -> None:
        self.covered.append(Covered(site, treatment, rule))


def hidden_modules(model: nn.Module) -> list[Covered]:
    """Return the modules whose operations cannot be seen: scripted, traced or compiled."""
    found = []
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule) or type(module).__name__ == "OptimizedModule":
            found.append(
                Covered(Site(type(module).__name__, "hidden", path, type(module).__name__, -1), "hidden")
            )
    return found


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode and gradients on; give back every module's own train flag, whatever happens."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def captured(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of named modules while the model runs; the hooks are gone afterwards."""
    modules = dict(model.named_modules())
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                outputs[name] = output

        return hook

    handles = []
    try:
        for name in names:
            if name not in modules:
                raise EngineError(f"the model has {unknown('layer', name, [n for n in modules if n])}")
            handles.append(modules[name].register_forward_hook(keep(name)))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return `value` with `function` applied to the tensors in it, through tuples and lists."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        items = [_map(item, function) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value
