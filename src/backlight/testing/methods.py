"""What every attribution method has to be: relevance that fits the inputs, and no trace of it left."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from backlight.core.explainer import Attribution, Explainer
from backlight.core.processor import Processor
from backlight.testing.nets import plain
from backlight.testing.require import failing_as, require
from backlight.testing.residue import check_nothing_left
from backlight.testing.subject import Subject

TARGETS = [0, 1]


def is_method(subject: Subject) -> bool:
    """Say whether the processor is of stage "attribution"."""
    return (
        getattr(subject.spec.factory, "stage", None) == "attribution"
        or subject.build().stage == "attribution"
    )


def check_outputs(subject: Subject) -> None:
    """Relevance is finite and shaped like the inputs, for one target and for several."""
    _, x = plain()
    one, many = _explained(subject, x, 0).relevance, _explained(subject, x, TARGETS).relevance
    for found, wanted in ((one, x.shape), (many, (len(x), len(TARGETS), *x.shape[1:]))):
        require(
            found.shape == wanted,
            f"{subject} returned relevance of shape {tuple(found.shape)}, expected {tuple(wanted)}",
        )
        require(bool(torch.isfinite(found).all()), f"{subject} returned relevance that is not finite")


def check_purity(subject: Subject) -> None:
    """The model, torch and the inputs are as they were."""
    model, x = plain()
    check_nothing_left(str(subject), model, x, lambda m: Explainer(m, method=_seeded(subject)))


def check_seed(subject: Subject) -> None:
    """The seed fixes the relevance, whatever torch's random state is."""
    _, x = plain()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = _explained(subject, x, 0).relevance
        torch.manual_seed(2)
        other = _explained(subject, x, 0).relevance
    require(
        torch.equal(one, other),
        f"{subject}: two runs with one seed differ; give it a field `seed` and draw from a "
        "torch.Generator only",
    )


def check_dtypes(subject: Subject) -> None:
    """Relevance stays in the dtype of the inputs."""
    model, x = plain()
    with failing_as(f"{subject} does not explain float32 inputs"):
        found = Explainer(model.float(), method=_seeded(subject)).explain(x.float(), 0).relevance
    require(found.dtype == torch.float32, f"{subject} turned float32 into {found.dtype}")


def _seeded(subject: Subject) -> Processor:
    method: Processor = subject.build()
    if "seed" in method.parameters():
        return dataclasses.replace(method, seed=3)  # type: ignore[type-var]
    return method


def _explained(subject: Subject, x: Tensor, target: int | list[int]) -> Attribution:
    model, _ = plain()
    with failing_as(f"{subject} fails on an ordinary model"):
        return Explainer(model, method=_seeded(subject)).explain(x, target)
