"""Keys, screen readers and large letters: the page checked by axe-core, without a mouse, at 200 % zoom."""

from pathlib import Path

import axe_core_python
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from test_explorer import MARKED_INDICES

from synthetic_run import MARKED, write_run

pytestmark = pytest.mark.browser

AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TABS = ("Samples", "Cluster cards", "Tags", "Compare", "Live")


def violations(page):
    """What axe-core finds on the page as it stands, moderate or worse: rule, and elements."""
    page.driver.execute_script(AXE)
    found = page.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done)"
    )["violations"]
    return [
        (v["id"], [node["target"] for node in v["nodes"]])
        for v in found
        if v["impact"] in ("moderate", "serious", "critical")
    ]


def front(page, tab):
    page.driver.execute_script(
        "arguments[0].click()", page.all(".lower-tab")[page.texts(".lower-tab").index(tab)]
    )


def dark(page, on):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@pytest.fixture
def scheme(page):
    yield lambda on: dark(page, on)
    dark(page, False)


@pytest.mark.parametrize("darkness", [False, True])
def test_axe_finds_nothing_in_any_panel(page, scheme, darkness):
    scheme(darkness)
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    for tab in TABS:
        front(page, tab)
        page.wait(lambda t=tab: page.texts('.lower-tab[aria-selected="true"]') == [t])
        if tab == "Cluster cards":
            page.wait(lambda: page.all(".cluster-card"))
        if tab == "Compare":
            page.wait(lambda: page.all(".contingency"))
        assert violations(page) == [], tab
    front(page, "Samples")
    page.click("#samples--view label", 1)
    page.wait(lambda: page.all(".sample-table .thumbnail"))
    page.click("#overview--widen")
    page.wait(lambda: not page.one(".panel-embedding").is_displayed())
    assert violations(page) == []
    page.click(".sample-table .thumbnail")
    page.wait(lambda: page.all(".modal.show .channel-view"))
    opacity = "return getComputedStyle(document.querySelector('.modal')).opacity"
    page.wait(lambda: page.driver.execute_script(opacity) == "1")
    assert violations(page) == []
    assert page.errors() == []


def test_200_percent_zoom_overflows_nowhere(page):
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    size = {"width": 640, "height": 400, "deviceScaleFactor": 2, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    beyond = """const width = document.documentElement.clientWidth;
        return [...document.querySelectorAll('.backlight *')].filter((e) => {
          const box = e.getBoundingClientRect();
          return box.width && box.right > width + 1 && !e.closest('.scroll, .as-table, .overlap, svg');
        }).map((e) => e.id || e.className).concat(
          document.documentElement.scrollWidth > width ? ['the page itself'] : []);"""
    for tab in TABS:
        front(page, tab)
        page.wait(lambda t=tab: page.texts('.lower-tab[aria-selected="true"]') == [t])
        page.wait(lambda: page.driver.execute_script(beyond) == [], tab)
    assert len({panel.location["x"] for panel in page.all(".slot-main .panel")}) == 1


def press(page, *keys):
    ActionChains(page.driver, duration=0).send_keys(*keys).perform()


def test_number_keys_tag_the_selection(served, tmp_path):
    page = served(write_run(tmp_path / "run"))
    page.drawn()
    notes = page.explorer.project.annotations
    for name in ("mark", "other"):
        notes.tag(name, [0])
    page.driver.refresh()
    page.drawn()
    page.click(".cluster", 2)
    page.wait(lambda: page.explorer.indices == MARKED_INDICES)
    press(page, "2")
    page.wait(lambda: notes.tags()["other"].samples.tolist() == [0, *MARKED_INDICES])
    assert notes.tags()["mark"].samples.tolist() == [0]
    press(page, "1")
    page.wait(lambda: notes.tags()["mark"].samples.tolist() == [0, *MARKED_INDICES])
    press(page, "?")
    page.wait(lambda: "Add the selection to other" in page.one(".keys").text)
    assert page.errors() == []


FOCUSED = """
const e = document.activeElement, style = getComputedStyle(e);
const panel = e.closest(".panel");
const name = e.getAttribute("aria-label") || e.title || e.innerText || (e.labels[0] && e.labels[0].innerText);
const field = ["INPUT", "SELECT", "TEXTAREA"].includes(e.tagName);
return {
  panel: panel ? panel.className.split("panel-").pop() : null,
  name: (name || "").trim(),
  seen: field || style.outlineStyle !== "none" || style.boxShadow !== "none",
  html: e.outerHTML.slice(0, 100),
};"""


def test_everything_is_reached_by_tab_in_reading_order(page):
    page.click(".cluster", 2)
    page.wait(lambda: page.all(".thumbnail"))
    page.driver.execute_script("const h = document.querySelector('h1'); h.tabIndex = -1; h.focus()")
    reached = []
    while len(reached) < 90 and not (reached and reached[-1]["panel"] == "samples"):
        press(page, Keys.TAB)
        reached.append(page.driver.execute_script(FOCUSED))
    order = [place for place in dict.fromkeys(stop["panel"] for stop in reached) if place]
    assert order == ["overview", "embedding", "clusters", "samples"]
    assert [stop["html"] for stop in reached if not stop["name"]] == []
    assert [stop["html"] for stop in reached if not stop["seen"]] == []


def test_a_sample_is_opened_and_left_by_keys(page):
    page.click(".cluster", 2)
    page.wait(lambda: page.all(".thumbnail"))
    page.all(".thumbnail")[0].send_keys(Keys.ENTER)
    page.wait(lambda: page.all(".modal.show"))
    first = page.wait(lambda: page.one(".sample-facts").text)
    press(page, "n")
    page.wait(lambda: page.one(".sample-facts").text != first)
    press(page, "p")
    page.wait(lambda: page.one(".sample-facts").text == first)
    press(page, Keys.ESCAPE)
    page.wait(lambda: not page.all(".modal.show"))
    assert page.errors() == []


def test_what_takes_long_says_so(page, monkeypatch):
    import time

    from backlight.plugins.viewers import cards

    summarise = cards.summarise
    monkeypatch.setattr(cards, "summarise", lambda *a: (time.sleep(1.5), summarise(*a))[1])
    assert page.texts("#app--busy") == [""]
    front(page, "Cluster cards")
    page.wait(lambda: page.all("#app--busy.busy"), "nothing says that the page is busy")
    page.wait(lambda: page.all(".cluster-card") and not page.all("#app--busy.busy"))
