"""Explain a single function: what tests of operations without weights have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backlight import composite
from backlight.core.coverage import Covered
from backlight.core.engine import Interceptor
from backlight.core.interception.plan import Plan
from backlight.core.interception.surroundings import evaluation
from backlight.core.registry import registry


class Calls(nn.Module):
    """A model that is one function, and whatever modules it closes over."""

    def __init__(self, function: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@dataclass
class Explained:
    """output and relevance of one explained run; `plain` is the model's own output."""

    output: Tensor
    plain: Tensor
    relevance: tuple[Tensor, ...]
    given: Tensor
    covered: list[Covered]

    @property
    def uncovered(self) -> list[str]:
        return [str(c.site) for c in self.covered if c.treatment in ("gradient", "hidden")]

    def assert_faithful(self) -> None:
        torch.testing.assert_close(self.output, self.plain, rtol=1e-9, atol=1e-11)

    def assert_conserved(self, tolerance: float = 1e-3) -> None:
        """Relevance in equals relevance out, relative to all that was given regardless of sign."""
        returned = sum(float(r.sum()) for r in self.relevance)
        given = float(self.given.sum())
        assert abs(returned - given) <= tolerance * float(self.given.abs().sum()), (returned, given)


def explain(
    model: nn.Module | Callable[..., Any],
    *inputs: Tensor,
    by: Any = "epsilon",
    given: Tensor | None = None,
    pick: Callable[[Any], Tensor] = lambda output: output if isinstance(output, Tensor) else output[0],
    **parameters: Any,
) -> Explained:
    """Explain `pick` of the output, whose relevance is `given` (else the output), all canonizers on."""
    if not isinstance(model, nn.Module):
        model = Calls(model)
    names = registry().names("canonizer")
    canonizers = [(name, registry().create("canonizer", name)) for name in names]
    interceptor = Interceptor(Plan.of(model, composite(by, **parameters), canonizers))
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    sources = [leaf for leaf in leaves if leaf.requires_grad]
    interceptor.start(sources)
    with evaluation(model):
        with torch.no_grad():
            plain = pick(model(*(x.clone() for x in inputs)))
        with interceptor:
            output = model(*leaves)
        interceptor.finish()
        output = interceptor.aliases.current(pick(output))
        given = output.detach() if given is None else given
        found = torch.autograd.grad(output, sources, given, allow_unused=True)
    relevance = tuple(torch.zeros_like(s) if r is None else r for s, r in zip(sources, found, strict=True))
    return Explained(output.detach(), plain, relevance, given, interceptor.covered)


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)
