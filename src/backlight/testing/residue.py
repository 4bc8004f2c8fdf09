"""That an explanation leaves the model and torch as they were, however it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from backlight.core.errors import BacklightError
from backlight.core.explainer import Explainer
from backlight.testing.require import ConformanceError, failing_as, require
from backlight.testing.trace import changed, snapshot

NO_CLASS = 10**6


class DeliberateError(Exception):
    """Raised by a model that was asked to crash."""


def check_nothing_left(
    what: str, model: nn.Module, x: Tensor, explainer: Callable[[nn.Module], Explainer]
) -> None:
    """Explain, ask for a class there is not, and let the model crash; compare before and after each."""
    endings: dict[str, Callable[[], Any]] = {
        "an explanation": lambda: explainer(model).explain(x, 0),
        "a target that does not exist": lambda: _refused(what, lambda: explainer(model).explain(x, NO_CLASS)),
        "a crash of the model": lambda: _crash(model, lambda: explainer(model).explain(x, 0)),
    }
    given = x.clone()
    for ending, run in endings.items():
        before = snapshot(model)
        with failing_as(f"{what}: {ending} did not end as it should"):
            run()
        left = changed(before, snapshot(model))
        require(
            not left,
            f"{what}: after {ending}, {left[0] if left else ''} has changed; a plugin writes nothing on the "
            "model, its parameters or torch's global state",
        )
        require(bool((x == given).all()), f"{what}: after {ending}, the input has changed")


def _refused(what: str, run: Callable[[], Any]) -> None:
    try:
        run()
    except BacklightError:
        return
    raise ConformanceError(f"{what}: a target that does not exist was explained")


def _crash(model: nn.Module, run: Callable[[], Any]) -> None:
    def fail(*_: Any) -> None:
        raise DeliberateError

    handle = model.register_forward_hook(fail)
    try:
        run()
    except DeliberateError:
        return
    finally:
        handle.remove()
    raise ConformanceError("a model that crashed was explained")
