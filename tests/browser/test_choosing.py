"""Selections combine and come back; keys; the samples nearest to one."""

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from test_explorer import MARKED_INDICES

from synthetic_run import MARKED_CLASS, PER_CLASS

pytestmark = pytest.mark.browser

CLASS = list(range(MARKED_CLASS * PER_CLASS, (MARKED_CLASS + 1) * PER_CLASS))
NEW, ADD, SUBTRACT, INTERSECT = range(4)


@pytest.fixture
def chosen(page):
    """Select and wait: chosen.by(button or cluster number, mode) returns what is selected."""
    members = {
        c: page.explorer.project.analysis("spray").category("dog").members("hdbscan", c) for c in (0, 1, 2)
    }
    return page, {c: sorted(m.tolist()) for c, m in members.items()}


def settles(page, expected):
    page.wait(lambda: page.explorer.indices == expected, f"{page.explorer.indices} instead of {expected}")


def test_clusters_are_added_taken_out_and_intersected(chosen):
    page, members = chosen
    page.click(".cluster", 2)
    settles(page, MARKED_INDICES)
    page.click(".choosing label", ADD)
    page.click(".cluster", 0)
    settles(page, sorted([*MARKED_INDICES, *members[0]]))
    page.click(".choosing label", SUBTRACT)
    page.click(".cluster", 2)
    settles(page, members[0])
    page.click(".choosing label", INTERSECT)
    page.click(".cluster", 0)
    page.click(".cluster", 1)
    settles(page, [])
    assert page.errors() == []


def test_undo_redo_invert_all_and_none(chosen):
    page, _ = chosen
    page.click(".cluster", 2)
    settles(page, MARKED_INDICES)
    page.click("#app--select-invert")
    settles(page, sorted(set(CLASS) - set(MARKED_INDICES)))
    page.click("#app--undo")
    settles(page, MARKED_INDICES)
    page.click("#app--redo")
    settles(page, sorted(set(CLASS) - set(MARKED_INDICES)))
    page.click("#app--select-all")
    settles(page, CLASS)
    page.click("#app--select-none")
    settles(page, [])
    page.click("#app--undo")
    settles(page, CLASS)
    page.choose("app--category", "cat")
    settles(page, [])
    page.click("#app--undo")
    page.click(".cluster", 0)
    page.wait(lambda: page.explorer.indices and max(page.explorer.indices) < PER_CLASS)
    assert page.errors() == []


def press(page, key):
    ActionChains(page.driver, duration=0).send_keys(key).perform()


def test_keys_select_turn_pages_and_explain_themselves(page):
    press(page, "a")
    settles(page, CLASS)
    press(page, "n")
    page.wait(lambda: page.texts("#samples--pages") == ["2 of 3"])
    press(page, "p")
    page.wait(lambda: page.texts("#samples--pages") == ["1 of 3"])
    press(page, "?")
    page.wait(lambda: "Undo the last selection" in page.one(".keys").text)
    assert page.errors() == []


def test_keys_are_left_alone_while_typing(page):
    page.click(".lower-tab", page.texts(".lower-tab").index("Tags"))
    page.one("#annotate--name").send_keys("a?n")
    assert page.one("#annotate--name").get_attribute("value") == "a?n"
    assert page.explorer.indices == []


def test_nearest_samples_of_one(page):
    page.click(".cluster", 2)
    page.wait(lambda: page.all(".thumbnail"))
    page.click(".thumbnail", 3)
    page.wait(lambda: page.all(".modal.show .steps button"))
    press(page, "s")
    page.wait(lambda: page.texts("#samples--count") == [f"24 · nearest to {MARKED_INDICES[3]}"])
    category = page.explorer.project.analysis("spray").category("dog")
    space = category.embedding("spectral").all()
    row = category.index.tolist().index(MARKED_INDICES[3])
    nearest = category.index[np.argsort(np.linalg.norm(space - space[row], axis=1))[:24]]
    assert page.explorer.indices == nearest.tolist()
    page.wait(lambda: not page.all(".modal.show"))
    assert page.errors() == []
