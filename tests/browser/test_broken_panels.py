"""A panel that fails becomes a card with its name and reason; the others live."""

from dataclasses import dataclass
from typing import final

import pytest
from dash import Input, Output, html
from explorer_page import Page

from backlight.app.explorer.factory import make_app
from backlight.app.explorer.server import Server
from backlight.core.hookspecs import PanelSpec
from backlight.core.panel import Panel
from backlight.core.project import open_project
from backlight.core.registry import Entry, Registry

pytestmark = pytest.mark.browser


@final
@dataclass(frozen=True)
class Unbuilt(Panel):
    title = "Unbuilt"

    def layout(self, context):
        raise RuntimeError("no layout today")

    def callbacks(self, callback, context):
        raise AssertionError("not reached")


@final
@dataclass(frozen=True)
class Trespasser(Panel):
    title = "Trespasser"

    def layout(self, context):
        return html.Div(id=context.id("own"))

    def callbacks(self, callback, context):
        @callback(Output(context.id("own"), "children"), Input("clusters--list", "children"))
        def read(_):
            return "read another panel"


@final
@dataclass(frozen=True)
class Flaky(Panel):
    title = "Flaky"

    def layout(self, context):
        return html.Div(id=context.id("own"))

    def callbacks(self, callback, context):
        @callback(Output(context.id("own"), "children"), Input(context.store("category"), "data"))
        def fail(category):
            if category == "00000001":
                raise ValueError("dogs are <i>difficult</i>")
            return f"fine with {category}"


@final
@dataclass(frozen=True)
class Thrower(Panel):
    title = "Thrower"

    def layout(self, context):
        return html.Div(id=context.id("own"))

    def callbacks(self, callback, context):
        callback.clientside(
            """(category) => {
                if (category === "00000001") throw new Error("not in the browser");
                return category;
            }""",
            Output(context.id("own"), "children"),
            Input(context.store("category"), "data"),
        )


BROKEN = [
    PanelSpec("unbuilt", Unbuilt),
    PanelSpec("trespasser", Trespasser),
    PanelSpec("flaky", Flaky, slot="bottom"),
    PanelSpec("thrower", Thrower, slot="bottom"),
    PanelSpec("app", Flaky),
]


@pytest.fixture
def page(chromium, run):
    registry = Registry()
    installed = [registry.spec("panel", name) for name in registry.names("panel")]
    with open_project(run) as project:
        server = Server(make_app([project], [*installed, *BROKEN]).server, "127.0.0.1", 0)
        server.start()
        yield Page(chromium, server)
        server.close()


def test_broken_panels_become_cards_and_the_others_live(page):
    page.drawn()
    page.wait(lambda: len(page.all(".panel-problem")) == 5)
    cards = "\n".join(page.texts(".panel-problem"))
    assert "unbuilt cannot be shown" in cards
    assert "no layout today" in cards
    assert "'clusters--list'" in cards
    assert "dogs are <i>difficult</i>" in cards
    assert "not in the browser" in cards
    assert "a panel cannot be called 'app'" in cards
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == 16)
    assert page.errors() == []


def test_a_panel_recovers_when_its_callback_does(page):
    page.drawn()
    page.wait(lambda: len(page.all(".panel-problem")) == 5)
    page.choose("app--category", "cat")
    page.wait(lambda: len(page.all(".panel-problem")) == 3)
    assert page.texts("#flaky--own") == ["fine with 00000000"]
    assert page.texts("#thrower--own") == ["00000000"]


def test_a_panel_that_cannot_be_imported_becomes_a_card(served, run, monkeypatch):
    broken = Entry("backlight.viewers", "lost", "no_such_module_here", "lost-panels", "1.0")
    registry = Registry([*Registry().entries("panel"), broken])
    monkeypatch.setattr("backlight.app.explorer.factory.registry", lambda: registry)
    page = served(run)
    page.drawn()
    assert "lost cannot be shown" in page.one(".panel-problem").text
    assert "no_such_module_here" in page.one(".panel-problem").text
