"""One explained operation as a node of autograd's graph: its backward is a rule.

In a differentiable explanation the same graph serves twice. While relevance is computed, a node's backward is
its rule, applied to tensors that are still attached, so that autograd records what the rule does. Afterwards,
when someone differentiates the relevance, a node's backward is the operation's own gradient.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backlight.core.coverage import Audited
from backlight.core.errors import EngineError
from backlight.core.ops import Op, separate, widened
from backlight.core.rule import Rule

LOW = (torch.bfloat16, torch.float16)
_OWN = 5
"""Arguments of a node that are no tensors of the model's."""


@dataclass
class Run:
    """What the operations of one explained pass share.

    final: the backward pass now running is the last. attached: the relevance is to be differentiated.
    explaining: rules apply; without, an attached run's nodes have their operations' own gradients.
    """

    final: bool = False
    attached: bool = False
    explaining: bool = True


class Explained(torch.autograd.Function):
    """An operation whose backward is a rule."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        run: Run,
        op: Op,
        rule: Rule,
        audit: list[Audited] | None,
        output: list[Tensor],
        *tensors: Tensor,
    ) -> Tensor:
        ctx.run, ctx.op, ctx.rule, ctx.audit = run, op, rule, audit
        ctx.set_materialize_grads(False)
        made = output.pop()  # handed over in a list: a tensor argument would come back as a view of itself
        if run.attached:
            ctx.save_for_backward(*tensors, made)
        return made

    @staticmethod
    def backward(ctx: Any, *relevances: Tensor | None) -> Any:  # noqa: D102
        (relevance,) = relevances
        op: Op = ctx.op
        rule: Rule = ctx.rule
        if ctx.run.final:  # what the operation holds is free as soon as it has been explained
            ctx.op = ctx.rule = None
        if relevance is None:  # none comes this way, such as that of attention weights that count as gates
            return tuple(None for _ in ctx.needs_input_grad)
        if not ctx.run.attached:
            with torch.no_grad(), _plain(relevance):
                shares = _shares(op, rule, relevance, ctx.audit)
        else:
            with _plain(relevance):
                shares = _attached(ctx, op, rule, relevance)
        missing = len(ctx.needs_input_grad) - _OWN - len(shares)  # a rule may speak of the first signal alone
        return (*(None for _ in range(_OWN)), *shares, *(None for _ in range(missing)))


def _shares(op: Op, rule: Rule, relevance: Tensor, audit: list[Audited] | None) -> tuple[Tensor | None, ...]:
    if relevance.dtype in LOW:
        op, relevance = widened(op), relevance.float()
    found = rule.propagate(op, relevance)
    shares = found if isinstance(found, tuple) else (found,)
    if audit is not None:
        returned = sum(float(s.sum(dtype=torch.float64)) for s in shares if s is not None)
        received = float(relevance.sum(dtype=torch.float64))
        causes = rule.absorbed(op, relevance).items()
        told = tuple((cause, float(part.sum(dtype=torch.float64))) for cause, part in causes)
        audit.append(Audited(op.site, received, returned, tuple(c for c in told if c[1])))
    return shares


def _attached(ctx: Any, op: Op, rule: Rule, given: Tensor) -> tuple[Tensor | None, ...]:
    """Return what the rule says, recorded, or else the operation's own gradient."""
    *tensors, output = ctx.saved_tensors
    if not ctx.run.explaining:
        return gradients(op, tuple(tensors), given)
    shares = _shares(op.attached(tuple(tensors[: len(op.inputs)]), output), rule, given, None)
    if given.requires_grad and any(s is not None and not s.requires_grad for s in shares):
        raise EngineError(f"relevance cannot be differentiated through {rule!r} at {op.site}")
    return shares


def gradients(op: Op, tensors: tuple[Tensor, ...], given: Tensor) -> tuple[Tensor | None, ...]:
    """Return the operation's own gradients with respect to `tensors`, its inputs and then its constants."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        ends = [separate(t) for t in tensors]
        wanted = [t for t in ends if t.requires_grad]
        made = op.compute(ends)
        found = iter(
            torch.autograd.grad(made, wanted, given.to(made.dtype), create_graph=again, allow_unused=True)
        )
    return tuple(next(found) if t.requires_grad else None for t in tensors)


def _plain(relevance: Tensor) -> Any:
    """Switch autocast off: relevance is computed in the precision it has."""
    device = relevance.device.type
    known = device in ("cpu", "cuda", "mps", "xpu") and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if known else nullcontext()
