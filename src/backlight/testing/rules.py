"""What every rule has to be: a pure function of an operation and the relevance of its output."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from backlight.core.composite import AFFINE, BASE, Composite, Entry, Match
from backlight.core.derived import Derived
from backlight.core.explainer import Explainer
from backlight.core.hookspecs import RuleSpec
from backlight.core.ops import AffineOp, Op
from backlight.core.rule import Rule
from backlight.testing.nets import BATCH, OPERATIONS, OneOperation, random, seeded
from backlight.testing.require import failing_as, require
from backlight.testing.residue import check_nothing_left
from backlight.testing.subject import Subject

BIASED = (*AFFINE, "normalisation")
LOOSE, TIGHT = 1e-3, 1e-5
"""Share of the relevance that may be missing where a rule conserves up to epsilon, and where exactly."""


@dataclass(frozen=True)
class Case:
    """One executed operation, and relevance for its output."""

    text: str
    op: Op
    relevance: Tensor

    def __str__(self) -> str:
        return self.text

    def shares(self, rule: Rule) -> tuple[Tensor | None, ...]:
        """Return what the rule gives each input, computed from scratch."""
        op = dataclasses.replace(self.op, memo=dict(self.op.memo), derived=Derived())
        with torch.no_grad():
            found = rule.propagate(op, self.relevance)
        return found if isinstance(found, tuple) else (found,)


@dataclass(frozen=True)
class _Recorder(Rule):
    """Remembers the operations it is shown, and follows their gradient."""

    seen: list[Op] = field(default_factory=list, compare=False)

    def propagate(self, op: Op, relevance: Tensor) -> tuple[Tensor | None, ...]:
        self.seen.append(dataclasses.replace(op, memo=dict(op.memo)))
        return op.vjp(relevance)


def check_shape(subject: Subject) -> None:
    """Each input's relevance has the input's shape."""
    for case, shares in _propagated(subject):
        require(
            len(shares) <= len(case.op.inputs),
            f"{subject}, {case}: it returned {len(shares)} tensors for {len(case.op.inputs)} inputs",
        )
        for share, x in zip(shares, case.op.inputs, strict=False):
            require(
                share is None or share.shape == x.shape,
                f"{subject}, {case}: it returned relevance of shape "
                f"{share is not None and tuple(share.shape)} for an input of shape {tuple(x.shape)}; return "
                "each input's relevance in the input's shape",
            )


def check_dtype(subject: Subject) -> None:
    """Relevance stays in the dtype of the operation."""
    for dtype in (torch.float64, torch.float32):
        for case, shares in _propagated(subject, dtype):
            for share in shares:
                require(
                    share is None or share.dtype == dtype,
                    f"{subject}, {case}: it turned {dtype} into {share is not None and share.dtype}; make "
                    "new tensors by new_zeros or with dtype=op.input.dtype",
                )


def check_device(subject: Subject) -> None:
    """Relevance stays on the device of the operation; a device the machine lacks is not tested."""
    for device in _devices():
        for case, shares in _propagated(subject, torch.float32, device):
            for share in shares:
                require(
                    share is None or share.device.type == device,
                    f"{subject}, {case}: it left {device}; make new tensors with device=op.input.device",
                )


def check_purity(subject: Subject) -> None:
    """The operation's tensors are as they were."""
    rule = subject.build()
    for case in cases(subject):
        tensors = {"its output": case.op.output, "the relevance": case.relevance}
        tensors |= {f"input {i}": x for i, x in enumerate(case.op.inputs)}
        if isinstance(case.op, AffineOp):
            tensors |= {"the weight": case.op.weight}
            tensors |= {} if case.op.bias is None else {"the bias": case.op.bias}
        before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        with failing_as(f"{subject}, {case}: propagate failed"):
            case.shares(rule)
        for name, tensor in tensors.items():
            require(
                torch.equal(tensor, before[name]),
                f"{subject}, {case}: it changed {name} in place; compute a new tensor instead",
            )


def check_determinism(subject: Subject) -> None:
    """The same operation and relevance give the same, bit for bit."""
    rule = subject.build()
    for case, first in _propagated(subject):
        for one, other in zip(first, case.shares(rule), strict=True):
            require(
                _equal(one, other, 0.0),
                f"{subject}, {case}: called twice, it returned different relevance; a rule keeps no state "
                "and draws no random numbers",
            )


def check_batch(subject: Subject) -> None:
    """A batch is explained as its samples are one by one."""
    for kind in kinds(subject):
        model = seeded(partial(OneOperation, kind, bias=True))
        x = random(BATCH, *OPERATIONS[kind][0])
        explainer = _explainer(model, kind, subject.build())
        with failing_as(f"{subject}, {kind}: explaining failed"):
            whole = explainer.explain(x, 0).relevance
            for i in range(BATCH):
                alone = explainer.explain(x[i : i + 1], 0).relevance
                require(
                    _equal(whole[i : i + 1], alone, 1e-8),
                    f"{subject}, {kind}: sample {i} is explained differently alone than in a batch; reduce "
                    "over the axes of a sample, never over the first",
                )


def check_conservation(subject: Subject) -> None:
    """Relevance in equals relevance out, as far as the descriptor's `conserves` says; it has to say it."""
    spec = subject.spec
    assert isinstance(spec, RuleSpec)
    promised = _promise(subject, spec.conserves)
    rule: Rule = subject.build()
    for case, shares in _propagated(subject):
        leaked = float(case.relevance.sum() - sum(s.sum() for s in shares if s is not None))
        scale = float(case.relevance.abs().sum())
        with torch.no_grad():
            absorbed = {k: float(v.sum()) for k, v in rule.absorbed(case.op, case.relevance).items()}
        rest = leaked if spec.conserves == "exactly" else leaked - sum(absorbed.values())
        told = ", ".join(f"{cause} {value:.3g}" for cause, value in absorbed.items()) or "nothing"
        require(
            promised is None or abs(rest) <= promised * scale,
            f"{subject}, {case}: {leaked:.3g} of the relevance {scale:.3g} is missing, `absorbed` accounts "
            f"for {told}, and it declares to conserve {spec.conserves!r}; mend the formula, `absorbed` or "
            "the declaration",
        )


def check_reference(subject: Subject) -> None:
    """The rule agrees with the specimen's reference, if there is one."""
    reference = subject.specimen.reference
    if reference is None:
        return
    for case, shares in _propagated(subject):
        found = reference(case.op, case.relevance)
        expected = found if isinstance(found, tuple) else (found,)
        for number, (share, wanted) in enumerate(zip(shares, expected, strict=False)):
            require(
                _equal(share, wanted, 1e-6),
                f"{subject}, {case}: its relevance of input {number} differs from the reference's",
            )


def check_residue(subject: Subject) -> None:
    """Nothing is left on the model or in torch after success, a bad target or a crash."""
    for kind in kinds(subject):
        model = seeded(partial(OneOperation, kind, bias=True))
        rule = subject.build()
        check_nothing_left(
            f"{subject}, {kind}",
            model,
            random(BATCH, *OPERATIONS[kind][0]),
            partial(_explainer, kind=kind, rule=rule),
        )


def kinds(subject: Subject) -> list[str]:
    """Return the kinds of operation the rule is written for, "affine" spelled out."""
    spec = subject.spec
    assert isinstance(spec, RuleSpec)
    return [kind for taken in spec.takes for kind in (AFFINE if taken == "affine" else (taken,))]


def cases(subject: Subject, dtype: torch.dtype = torch.float64, device: str = "cpu") -> Iterator[Case]:
    """Yield operations of every kind taken: signed and non-negative inputs, with and without bias."""
    for kind in kinds(subject):
        for bias in (True, False) if kind in BIASED else (True,):
            for signed in (True, False):
                text = ", ".join(
                    [
                        f"operation of kind {kind!r}",
                        "signed input" if signed else "non-negative input",
                        *([("a bias" if bias else "no bias")] if kind in BIASED else []),
                    ]
                )
                yield _record(text, kind, bias, signed, dtype, device)


def _record(text: str, kind: str, bias: bool, signed: bool, dtype: torch.dtype, device: str) -> Case:
    model = seeded(lambda: OneOperation(kind, bias=bias)).to(device, dtype)
    x = random(BATCH, *OPERATIONS[kind][0])
    recorder = _Recorder()
    explainer = _explainer(model, kind, recorder)
    explainer.explain((x if signed else x.abs()).to(device, dtype), 0)
    op = recorder.seen[0]
    relevance = random(*op.output.shape, seed=2).to(device, dtype)
    return Case(text, op, relevance)


def _explainer(model: nn.Module, kind: str, rule: Rule) -> Explainer:
    composite = Composite((Entry.of(rule, Match(kind=kind)), *BASE))
    return Explainer(model, composite=composite, canonizers=())


def _propagated(
    subject: Subject, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> Iterator[tuple[Case, tuple[Tensor | None, ...]]]:
    rule = subject.build()
    for case in cases(subject, dtype, device):
        with failing_as(f"{subject}, {case}: propagate failed"):
            shares = case.shares(rule)
        yield case, shares


def _promise(subject: Subject, declared: str) -> float | None:
    """Return the share of the relevance that may be missing beside what is absorbed; None for any."""
    if declared == "exactly":
        return TIGHT
    if declared.startswith("up to "):
        return LOOSE
    require(
        re.match(r"nothing: \w", declared) is not None,
        f"{subject} declares to conserve {declared!r}, which promises nothing that can be checked; say "
        "'exactly', 'up to …' with what its `absorbed` accounts for, or 'nothing: …' with the reason",
    )
    return None


def _equal(one: Tensor | None, other: Tensor | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance)


def _devices() -> list[str]:
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


CHECKS: dict[str, Callable[[Subject], Any]] = {
    "shape": check_shape,
    "dtype": check_dtype,
    "device": check_device,
    "purity": check_purity,
    "determinism": check_determinism,
    "batch": check_batch,
    "conservation": check_conservation,
    "reference": check_reference,
    "residue": check_residue,
}
