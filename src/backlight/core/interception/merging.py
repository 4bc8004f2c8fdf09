"""Batch norm and the affine operations next to it, found by dataflow and merged where a canonizer knows how.

What made a tensor is remembered for one forward pass; the interceptor forgets it when the model has run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from backlight.core.errors import EngineError
from backlight.core.interception.functions import scale_and_shift
from backlight.core.interception.joined import Joined, JoinedOp
from backlight.core.interception.node import LOW
from backlight.core.interception.plan import Plan, Undecided
from backlight.core.linear_maps import ChannelMap, DenseMap
from backlight.core.ops import AffineOp, Call, Op, Site, widened
from backlight.core.rule import Rule

View = Callable[[Tensor], Tensor]
_PER_CHANNEL = ("running_mean", "running_var", "weight", "bias")


@dataclass
class Producer:
    """The affine operation that made a tensor, the tensor it was made from, and the rule it has."""

    op: AffineOp
    signal: Tensor
    rule: Rule


@dataclass
class Norm:
    """A batch norm that stands alone: its call, itself as an affine operation, and its input."""

    call: Call
    op: AffineOp
    signal: Tensor


def as_it_is(output: Tensor) -> Tensor:
    """Return the output."""
    return output


@dataclass
class Merged:
    """A batch norm together with the affine operations before it.

    output: what `op` computed. complete: whether an affine operation made every channel; own: the batch
    norm's own rule, for channels that none made. sources: outputs of the operations merged, each with the
    channels it became (None: all). view: how the output of `op` has to be viewed to be the batch norm's.
    """

    canonizer: str
    op: Op
    output: Tensor
    rule: Rule
    signals: list[Tensor]
    sources: list[tuple[Tensor, slice | None]]
    complete: bool = True
    own: Rule | None = None
    view: View = as_it_is


class Merger:
    """Remembers what made which tensor, and merges neighbours under a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.absorbed: Any = WeakTensorKeyDictionary()
        """Output of an operation that was merged -> outputs of merged operations, and its channels there."""
        self.producers: Any = WeakTensorKeyDictionary()
        self.norms: Any = WeakTensorKeyDictionary()
        self._parts: Any = WeakTensorKeyDictionary()

    def forget(self) -> None:
        """Free what merging needs: the model has run."""
        self.producers, self.norms = WeakTensorKeyDictionary(), WeakTensorKeyDictionary()
        self._parts = WeakTensorKeyDictionary()

    def join(self, result: Tensor, tensors: Any, dim: int = 0) -> None:
        """Remember what was concatenated, if it was channels."""
        if result.ndim > 1 and dim % result.ndim == 1:
            self._parts[result] = tuple(tensors)

    def before(self, call: Call, output: Tensor, own: Callable[[], Rule | None]) -> Merged | None:
        """Return the batch norm merged with what made its input, or None if nothing of that is affine.

        own: called for the batch norm's own rule if it is needed for some of the channels.
        """
        parts = self._joined(call.arguments["input"])
        if len(parts) > 1:
            return self._part_by_part(call, output, parts, own)
        found = self._producer(parts[0])
        made = None if found is None else self._merge(call, found[0], output, call.site.path)
        if found is None or made is None:
            return None
        (producer, view), (name, op, output) = found, made
        return Merged(name, op, output, producer.rule, [producer.signal], [(parts[0], None)], view=view)

    def after(self, op: AffineOp, signal: Tensor) -> tuple[AffineOp, Tensor, Norm, str] | None:
        """Return `op` applied to the input of the batch norm that made `signal`, if a canonizer knows how."""
        norm: Norm | None = self.norms.get(signal)
        if norm is None:
            return None
        for name, canonizer in self.plan.canonizers:
            merged = canonizer.absorb(norm.call, op, self.plan.derived)
            if merged is not None:
                whole = replace(op, inputs=norm.op.inputs, weight=merged[0], bias=merged[1])
                self._verify(name, op.site, whole, op.site.path, norm.op.output)
                return whole, norm.signal, norm, name
        return None

    def alone(self, call: Call, output: Tensor) -> AffineOp:
        """Return batch norm with fixed statistics as what it is, an affine operation on every channel."""
        given = call.arguments
        sources = tuple(given[name] for name in _PER_CHANNEL if given[name] is not None)
        derived = self.plan.derived
        scale, shift = derived.get(("affine", given["eps"]), sources, lambda: scale_and_shift(given))
        x: Tensor = given["input"]
        return AffineOp(
            call.site, (x.detach(),), output, derived, map=ChannelMap(x.ndim - 2), weight=scale, bias=shift
        )

    def _joined(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors whose channels were concatenated to `tensor`, or `tensor` itself."""
        found = self._parts.get(tensor)
        return (tensor,) if found is None else tuple(p for part in found for p in self._joined(part))

    def _part_by_part(
        self, call: Call, output: Tensor, parts: tuple[Tensor, ...], own: Callable[[], Rule | None]
    ) -> Merged | None:
        """Batch norm over a concatenation is batch norm over each part."""
        ends = itertools.accumulate(part.shape[1] for part in parts)
        pieces: list[AffineOp] = []
        rules: list[Rule | None] = []
        signals: list[Tensor] = []
        sources: list[tuple[Tensor, slice | None]] = []
        name = ""
        for number, (part, end) in enumerate(zip(parts, ends, strict=True)):
            channels = slice(end - part.shape[1], end)
            piece, shown = _piece(call, part, channels), output[:, channels]
            producer: Producer | None = self.producers.get(part)
            where = f"{call.site.path}[{number}]"
            made = None if producer is None else self._merge(piece, producer, shown, where)
            if producer is None or made is None:
                pieces.append(self.alone(piece, shown))
                rules.append(None)
                signals.append(part)
                continue
            name = made[0]
            pieces.append(made[1])
            rules.append(producer.rule)
            signals.append(producer.signal)
            sources.append((part, channels))
        if not sources:
            return None
        complete = len(sources) == len(parts)
        rest = None if complete else own()
        joined = Joined(tuple(rule or rest or Undecided(-1, [], None) for rule in rules))
        inputs = tuple(s.detach() for s in signals)
        whole = JoinedOp(call.site, inputs, output.detach(), self.plan.derived, parts=tuple(pieces))
        return Merged(name, whole, output, joined, signals, sources, complete, rest)

    def _producer(self, tensor: Tensor) -> tuple[Producer, View] | None:
        """Return the affine operation that made `tensor`, and how its output has to be viewed to be `tensor`.

        A dense layer over tokens may reach its batch norm flattened, or with channels and tokens swapped.
        """
        found: Producer | None = self.producers.get(tensor)
        if found is not None:
            return found, as_it_is
        whole = tensor._base if tensor._is_view() else None
        found = None if whole is None else self.producers.get(whole)
        if found is None or whole is None or not isinstance(found.op.map, DenseMap) or whole.ndim < 3:
            return None
        views: tuple[View, ...] = (lambda t: t.flatten(0, -2), lambda t: t.mT)
        for view in views:
            same = view(whole)
            if (same.shape, same.stride()) == (tensor.shape, tensor.stride()):
                return found, view
        return None

    def _merge(
        self, call: Call, producer: Producer, output: Tensor, where: str
    ) -> tuple[str, AffineOp, Tensor] | None:
        """Return a canonizer's name, the affine operation that computes `call` too, and its output."""
        before = producer.op
        for name, canonizer in self.plan.canonizers:
            merged = canonizer.merge(call, before, self.plan.derived)
            if merged is None:
                continue
            made = output if output.shape == before.output.shape else _unviewed(output, before.output)
            weight, bias = merged
            op = replace(before, output=made.detach(), weight=weight, bias=bias, memo=before.memo.copy())
            self._verify(name, call.site, op, where, before.output)
            return name, op, made
        return None

    def _verify(self, canonizer: str, site: Site, op: AffineOp, where: str, between: Tensor) -> None:
        """Compare a merged operation with the model's own output, the first time it is met at a place.

        between: what the model passed from the one operation to the other, perhaps in lower precision.
        """
        if (canonizer, where) in self.plan.verified:
            return
        with torch.no_grad():
            whole = op if op.output.dtype not in LOW else widened(op)
            rebuilt = whole.forward(whole.input)
            rebuilt = rebuilt if op.bias_term is None else rebuilt + op.bias_term
            verify(canonizer, site, rebuilt, op.output, between)
        self.plan.verified.add((canonizer, where))


def verify(canonizer: str, site: Site, got: Tensor, expected: Tensor, *between: Tensor) -> None:
    """Raise EngineError unless a canonizer's rewrite computes what the model does, up to rounding.

    between: tensors on the model's way, in whose precision it rounds too.
    """
    if not expected.is_floating_point() or not expected.numel():
        return
    size = float(expected.abs().nan_to_num(posinf=0.0).amax())
    error = float((got.detach() - expected).nan_to_num().abs().amax())
    rounding = max(torch.finfo(t.dtype).eps for t in (expected, *between))
    if error > min(1e4 * rounding, 0.1) * max(size, 1e-30):
        raise EngineError(
            f"canonizer {canonizer!r} changes the output of {site}: it differs by {error:.3g} where values "
            f"reach {size:.3g}; leave it out with canonizers=(…) and report it to its author"
        )


def _piece(call: Call, part: Tensor, channels: slice) -> Call:
    """Return a batch norm's call on some of its channels."""
    given = call.arguments
    own = {k: given[k][channels] for k in _PER_CHANNEL if given[k] is not None}
    return replace(call, arguments=given | own | {"input": part}, signals=(part,))


def _unviewed(output: Tensor, like: Tensor) -> Tensor:
    """Undo the view under which a dense layer's output reached its batch norm."""
    return output.reshape(like.shape) if output.ndim == 2 else output.mT
