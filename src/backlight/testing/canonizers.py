"""What every canonizer has to be: a rewrite that changes no output, leaves no trace and keeps to its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from backlight.core.canonizer import Canonizer
from backlight.core.explainer import Attribution, Explainer
from backlight.testing.nets import attending, fused, normalised, plain, recurrent
from backlight.testing.require import ConformanceError, failing_as, require
from backlight.testing.residue import check_nothing_left
from backlight.testing.subject import Subject

if TYPE_CHECKING:
    from backlight.testing.subject import Built

FAMILIES: tuple[Callable[[], Built], ...] = (normalised, attending, recurrent, fused)
FOREIGN: tuple[Callable[[], Built], ...] = (plain,)
TOLERANCE = 1e-8
COMPOSITE = "backlight/epsilon-plus"
"""A preset that needs no parameters; which one matters to no check."""


def check_outputs(subject: Subject) -> None:
    """The explained model computes what the model computes."""
    for name, model, x in _models(subject.specimen.models or (*FAMILIES, *FOREIGN)):
        with torch.no_grad():
            expected = model(x)
        with failing_as(
            f"{subject}, {name}: explaining failed; answer with operations that compute the same"
        ):
            found = _explained(model, x, [subject.build()]).output
        require(
            torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE),
            f"{subject}, {name}: the output has changed; answer with operations that compute the same",
        )


def check_effect(subject: Subject) -> None:
    """It does something on at least one model of its family."""
    for _, model, x in _models(subject.specimen.models or FAMILIES):
        if _rewritten(model, x, [subject.build()]):
            return
    raise ConformanceError(
        f"{subject} rewrote no operation of any model it was shown, so nothing of it has been tested; pass a "
        "Specimen with `models` of its family"
    )


def check_foreign(subject: Subject) -> None:
    """It leaves models of other families as they are."""
    for name, model, x in _models(subject.specimen.foreign or FOREIGN):
        with failing_as(f"{subject}, {name}: explaining a foreign model failed"):
            rewritten = _rewritten(model, x, [subject.build()])
        require(
            not rewritten,
            f"{subject} rewrote {rewritten[0] if rewritten else ''} of the foreign model {name!r}; "
            "return None for all that is not its own",
        )


def check_residue(subject: Subject) -> None:
    """The model is identical after success, a bad target and a crash."""
    for name, model, x in _models(subject.specimen.models or (*FAMILIES, *FOREIGN)):
        check_nothing_left(
            f"{subject}, {name}",
            model,
            x,
            lambda model: Explainer(model, composite=COMPOSITE, canonizers=[subject.build()]),
        )


def check_idempotence(subject: Subject) -> None:
    """Applied twice it does what it does once."""
    for name, model, x in _models(subject.specimen.models or FAMILIES):
        with failing_as(f"{subject}, {name}: explaining failed"):
            once = _explained(model, x, [subject.build()])
            twice = _explained(model, x, [subject.build(), subject.build()])
        require(
            torch.allclose(once.relevance, twice.relevance, rtol=TOLERANCE, atol=TOLERANCE)
            and _operations(once) == _operations(twice),
            f"{subject}, {name}: given twice, it does something else than once; rewrite nothing that "
            "is already rewritten",
        )


def _models(builders: Sequence[Callable[[], Built]]) -> Iterator[tuple[str, nn.Module, Tensor]]:
    for build in builders:
        model, x = build()
        yield build.__name__, model, x


def _explained(model: nn.Module, x: Tensor, canonizers: Sequence[Canonizer]) -> Attribution:
    return Explainer(model, composite=COMPOSITE, canonizers=canonizers).explain(x, 0)


def _operations(attribution: Attribution) -> list[tuple[str, str, str]]:
    return [(c.site.name, c.site.path, c.treatment) for c in attribution.coverage.operations]


def _rewritten(model: nn.Module, x: Tensor, canonizers: Sequence[Canonizer]) -> list[str]:
    """Return the operations that run with the canonizers and not, or not so treated, without."""
    bare = _operations(_explained(model, x, ()))
    found = _operations(_explained(model, x, canonizers))
    return [f"{name} in {path or 'the model'}" for name, path, _ in set(found) ^ set(bare)] or (
        ["an operation"] if found != bare else []
    )


CHECKS: dict[str, Callable[[Subject], Any]] = {
    "outputs": check_outputs,
    "effect": check_effect,
    "foreign": check_foreign,
    "residue": check_residue,
    "idempotence": check_idempotence,
}
