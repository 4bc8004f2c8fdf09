"""A canonizer that applies to nothing."""

from dataclasses import dataclass
from typing import Any, final

from backlight.core.canonizer import Canonizer
from backlight.core.hookspecs import CanonizerSpec, hookimpl


@final
@dataclass(frozen=True)
class Idle(Canonizer):
    """Rewrite nothing."""

    def applies(self, model: Any) -> bool:
        return False


@hookimpl
def provide_canonizers() -> list[CanonizerSpec]:
    return [CanonizerSpec("idle", Idle)]
