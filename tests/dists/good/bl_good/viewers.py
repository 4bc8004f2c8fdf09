"""A panel that shows one sentence."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from backlight.core.hookspecs import PanelSpec, hookimpl
from backlight.core.panel import Panel, PanelContext


@final
@dataclass(frozen=True)
class Note(Panel):
    """Show one sentence."""

    text: str = "Nothing to see here."
    title: ClassVar[str] = "Note"

    def layout(self, context: PanelContext) -> Any:
        from dash import html

        return html.P(self.text, id=context.id("text"))

    def callbacks(self, callback: Any, context: PanelContext) -> None:
        pass


@hookimpl
def provide_panels() -> list[PanelSpec]:
    return [PanelSpec("note", Note, slot="bottom", order=900)]
