"""What every preset composite has to be: plain data that explains whole models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from backlight.core.composite import Composite, composite
from backlight.core.errors import RequestError
from backlight.core.explainer import Explainer
from backlight.testing.nets import attending, normalised, plain
from backlight.testing.require import ConformanceError, failing_as, require
from backlight.testing.residue import check_nothing_left
from backlight.testing.subject import Subject


def check_round_trip(subject: Subject) -> None:
    """It can be written to a file and read back."""
    made: Composite = subject.build()
    try:
        back = composite(made.to_dict())
    except RequestError as error:
        raise ConformanceError(f"{subject} cannot be written to a file: {error}; name its rules") from error
    require(back == made, f"{subject} is another after writing and reading: {back} instead of {made}")


def check_coverage(subject: Subject) -> None:
    """Small networks are explained with a rule for every operation, and finitely."""
    made: Composite = subject.build()
    for build in (plain, normalised, attending):
        model, x = build()
        with failing_as(f"{subject}, {build.__name__}: close it with backlight.core.composite.BASE"):
            found = Explainer(model, composite=made).explain(x, 0, strict=True)
        require(
            bool(torch.isfinite(found.relevance).all()),
            f"{subject}, {build.__name__}: relevance is not finite",
        )


def check_residue(subject: Subject) -> None:
    """Nothing is left on the model or in torch after success, a bad target or a crash."""
    model, x = normalised()
    check_nothing_left(str(subject), model, x, lambda m: Explainer(m, composite=subject.build()))


CHECKS: dict[str, Callable[[Subject], Any]] = {
    "round-trip": check_round_trip,
    "coverage": check_coverage,
    "residue": check_residue,
}
