"""Two clusterings side by side, in real Chromium."""

import pytest

from backlight.plugins.viewers.overlap import cell

pytestmark = pytest.mark.browser


@pytest.fixture
def compared(page):
    page.click(".lower-tab", page.texts(".lower-tab").index("Compare"))
    page.wait(lambda: page.all(".contingency"))
    return page


def test_overlap_is_shown_and_a_cell_selects_in_both_maps(compared):
    dog = compared.explorer.project.analysis("spray").category("dog")
    assert compared.one("#compare--clustering").get_attribute("value") == "kmeans-02"
    assert "60 shared samples" in compared.one("#compare--overlap").text
    compared.wait(lambda: (compared.map("compare") or {}).get("size") == 60)
    compared.click(".contingency tbody tr:nth-child(2) button:not(:disabled)")
    both = [cell(dog, "hdbscan", dog, "kmeans-02", (0, c)).tolist() for c in (0, 1)]
    expected = next(indices for indices in both if indices)  # an empty cell cannot be clicked
    compared.wait(lambda: compared.explorer.indices == expected)
    count = len(expected)
    compared.wait(lambda: sum(compared.groups("compare").values()) == count)
    compared.wait(lambda: sum(compared.groups().values()) == count)
    assert compared.errors() == []


def test_another_class_has_a_map_but_no_overlap(compared):
    compared.choose("compare--category", "cat")
    compared.wait(lambda: "share no samples" in compared.one("#compare--overlap").text)
    compared.wait(lambda: (compared.map("compare") or {}).get("first") == 0)
    compared.choose("compare--category", "dog")
    compared.wait(lambda: compared.all(".contingency"))
    assert compared.errors() == []
