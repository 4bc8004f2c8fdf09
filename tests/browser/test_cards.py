"""Cluster cards, in real Chromium."""

import pytest
from selenium.webdriver.support.ui import Select

from synthetic_run import MARKED, write_run

pytestmark = pytest.mark.browser


@pytest.fixture
def cards(page):
    page.click(".lower-tab", page.texts(".lower-tab").index("Cluster cards"))
    page.wait(lambda: len(page.all(".cluster-card")) == 4)
    return page


def test_cards_show_every_cluster_and_select_its_samples(cards):
    assert [name.split(" ·")[0] for name in cards.texts(".cluster-card .link")] == [
        "Cluster 0", "Cluster 1", "Cluster 2", "Noise",
    ]  # fmt: skip
    assert cards.pixels(".cluster-card .mean") != [0, 0, 0]
    assert "Accuracy" in cards.one(".cluster-card .figures").text
    cards.click(".cluster-card .link", 2)
    cards.wait(lambda: len(cards.explorer.indices) == MARKED)
    assert not cards.one(".panel-samples").is_displayed()
    assert cards.errors() == []


def test_two_clusters_side_by_side(cards):
    cards.click(".cluster-card header > .btn", 0)
    cards.wait(lambda: len(cards.all('.cluster-card [aria-pressed="true"]')) == 1)
    assert cards.all(".versus") == []
    cards.click(".cluster-card header > .btn", 2)
    cards.wait(lambda: cards.texts(".versus .name-line") == ["Cluster 0", "difference of means", "Cluster 2"])
    cards.choose("app--clustering", "kmeans-02")
    cards.wait(lambda: len(cards.all(".cluster-card")) == 2 and not cards.all(".versus"))
    assert cards.errors() == []


def test_the_link_brings_the_panel_back(cards, chromium):
    cards.wait(lambda: "panel=cards" in chromium.current_url)
    link = chromium.current_url
    chromium.get("about:blank")
    chromium.get(link)
    cards.drawn()
    cards.wait(lambda: len(cards.all(".cluster-card")) == 4)
    assert not cards.one(".panel-samples").is_displayed()


@pytest.fixture
def own(served, tmp_path):
    page = served(write_run(tmp_path / "run"))
    page.drawn()
    page.click(".lower-tab", page.texts(".lower-tab").index("Cluster cards"))
    page.wait(lambda: len(page.all(".cluster-card")) == 4)
    return page


def menu(page, number):
    page.click(f".cluster-card:nth-child({number}) .drop summary")
    return f".cluster-card:nth-child({number}) .curate"


def names(page):
    return page.texts(".cluster-name")


def test_clusters_are_renamed_merged_hidden_and_all_of_it_undone(own):
    place = menu(own, 3)
    field = own.one(f"{place} input")
    field.clear()
    field.send_keys("<b>snow</b>")
    own.click(f"{place} .btn", 0)
    own.wait(lambda: names(own) == ["Cluster 0", "Cluster 1", "<b>snow</b>", "Noise"])
    own.wait(lambda: "<b>snow</b>" in own.groups(), "the map does not know the name")
    own.wait(lambda: "<b>snow</b>" in own.texts(".cluster-card .link"))  # the cards are the new ones
    place = menu(own, 1)
    Select(own.one(f"{place} select")).select_by_visible_text("<b>snow</b>")
    own.click(f"{place} .btn", 1)
    own.wait(lambda: names(own) == ["Cluster 1", "<b>snow</b>", "Noise"])
    dog = own.explorer.project.analysis("spray").category("dog")
    together = sorted([*dog.members("hdbscan", 0).tolist(), *dog.members("hdbscan", 2).tolist()])
    own.wait(lambda: len(own.all(".cluster-card")) == 3)
    own.click(".cluster-card .link", 1)
    own.wait(lambda: own.explorer.indices == together)
    own.wait(lambda: own.texts(".cluster.chosen .cluster-name") == ["<b>snow</b>"])
    own.click(f"{menu(own, 3)} > .btn")
    own.wait(lambda: own.texts("#clusters--count") == ["2 found, 1 hidden"])
    own.wait(lambda: "noise, hidden" in own.groups() or "hidden" in own.groups())
    own.click(".hidden-clusters .btn")
    own.wait(lambda: own.texts("#clusters--count") == ["2 found"])
    for expected in (
        ["Cluster 1", "<b>snow</b>"],
        ["Cluster 1", "<b>snow</b>", "Noise"],
        ["Cluster 0", "Cluster 1", "<b>snow</b>", "Noise"],
        ["Cluster 0", "Cluster 1", "Cluster 2", "Noise"],
    ):
        own.click('#cards--steps [title^="Undo: "]')
        own.wait(lambda e=expected: names(own) == e, f"not {expected}")
    own.wait(lambda: own.all('#cards--steps [title="Nothing to undo"]:disabled'))
    own.click('#cards--steps [title^="Redo: rename cluster 2 to <b>snow</b>"]')
    own.wait(lambda: "<b>snow</b>" in names(own), "the name does not come back")
    assert len(own.explorer.project.annotations.history()) == 9
    assert own.errors() == []


def test_what_cannot_be_done_is_said_and_changes_nothing(own):
    place = menu(own, 1)
    own.click(f"{place} .btn", 1)
    own.wait(lambda: own.texts("#cards--said") == ["choose the cluster to merge into first"])
    own.one(f"{place} input").send_keys("x" * 100)
    assert len(own.one(f"{place} input").get_attribute("value")) == 80
    assert own.explorer.project.annotations.history() == []
    assert own.errors() == []
