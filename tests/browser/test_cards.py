"""Cluster cards, in real Chromium."""

import pytest

from synthetic_run import MARKED

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
    cards.click(".cluster-card .btn", 0)
    cards.wait(lambda: len(cards.all('.cluster-card [aria-pressed="true"]')) == 1)
    assert cards.all(".versus") == []
    cards.click(".cluster-card .btn", 2)
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
