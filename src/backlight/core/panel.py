"""The panel contract: a region of the explorer that talks to the others through shared stores only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

if TYPE_CHECKING:
    from backlight.core.project import Project

Store = Literal["project", "analysis", "category", "clustering", "embedding", "colour", "selection", "sample"]
STORES: tuple[Store, ...] = get_args(Store)


@dataclass(frozen=True)
class PanelContext:
    """What a panel may know: the open projects, its own id namespace, the ids of the shared stores.

    name: the panel's public name; every component id the panel makes comes from `id`.
    projects: by name, opened read-only.
    """

    name: str
    projects: dict[str, Project]

    def id(self, part: str) -> str:
        """Return the component id of one part of this panel."""
        return f"{self.name}--{part}"

    def store(self, store: Store) -> str:
        """Return the component id of a shared dcc.Store."""
        if store not in STORES:
            raise KeyError(f"no shared store {store!r}; there are {', '.join(STORES)}")
        return f"store--{store}"


class Panel(ABC):
    """One panel. Implementations are final frozen dataclasses; state lives in the browser, never on the panel."""

    title: ClassVar[str]

    @abstractmethod
    def layout(self, context: PanelContext) -> Any:
        """Return the panel's Dash component, built from its own ids; called once, before any data is chosen."""

    @abstractmethod
    def callbacks(self, callback: Callable[..., Any], context: PanelContext) -> None:
        """Register the panel's callbacks through `callback`, which takes what `dash.callback` takes.

        Outputs may be the panel's own ids and the shared stores; inputs likewise.
        """
