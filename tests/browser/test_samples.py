"""Order, search, table, scaling and enlargement of the samples; colours of the points."""

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys
from test_explorer import MARKED_INDICES

from synthetic_run import MARKED

pytestmark = pytest.mark.browser


@pytest.fixture
def selected(page):
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    return page


def confidences(page):
    return [int(text.split("\n")[-1].rstrip("%")) for text in page.texts(".thumbnail .caption")]


def test_samples_in_order_of_confidence(selected):
    selected.choose("samples--order", "Unsure first")
    selected.wait(
        lambda: (
            confidences(selected) == sorted(confidences(selected)) and len(confidences(selected)) == MARKED
        )
    )
    selected.choose("samples--order", "Sure first")
    selected.wait(lambda: confidences(selected) == sorted(confidences(selected), reverse=True))
    assert selected.errors() == []


def test_table_and_search(selected):
    selected.click("#samples--view label", 1)
    selected.wait(lambda: len(selected.all(".sample-table tbody tr")) == MARKED)
    assert "dog/0060.png" in selected.texts(".sample-table .file")
    selected.one("#samples--search").send_keys("0061")
    selected.wait(lambda: selected.texts(".sample-table .file") == ["dog/0061.png"])
    assert selected.texts("#samples--count") == ["1 · cluster 2, search “0061”"]
    selected.one("#samples--search").send_keys(Keys.BACKSPACE * 4, "is:correct")
    outputs = selected.explorer.project.attributions.predictions(np.array(MARKED_INDICES))
    right = int((outputs.argmax(1) == 1).sum())
    selected.wait(lambda: selected.texts("#samples--count") == [f"{right} · cluster 2, search “is:correct”"])
    selected.one("#samples--search").send_keys(Keys.BACKSPACE * 10, "zzz")
    selected.wait(lambda: selected.all("#samples--grid .empty"))
    assert "nothing" in selected.texts("#samples--count")[0]
    assert selected.errors() == []


def test_headings_sort_the_table_both_ways(selected):
    selected.click("#samples--view label", 1)
    selected.wait(lambda: selected.all(".sample-table tbody tr"))
    files = [f"dog/{i:04d}.png" for i in range(60, 76)]
    selected.click('.sample-table [title="Sort by file"]')
    selected.wait(lambda: selected.texts(".sample-table th[aria-sort=ascending]") == ["File"])
    selected.wait(lambda: selected.texts(".sample-table .file") == files)
    selected.click('.sample-table [title="Sort by file"]')
    selected.wait(lambda: selected.texts(".sample-table th[aria-sort=descending]") == ["File"])
    selected.wait(lambda: selected.texts(".sample-table .file") == files[::-1])
    assert selected.errors() == []


def test_the_large_view_shows_each_channel(selected):
    selected.click(".thumbnail", 2)
    selected.wait(lambda: selected.all(".modal.show .channel-view summary"))
    selected.wait(lambda: selected.one(".channel-view summary").is_displayed())
    selected.click(".channel-view summary")
    selected.wait(lambda: len(selected.sources(".channels img")) == 3)
    shown = [selected.pixels(f".channels figure:nth-child({k}) img") for k in (1, 2, 3)]
    assert shown[0] != shown[1]
    shares = [int(text.split("·")[1].split("%")[0]) for text in selected.texts(".channels figcaption")]
    assert 98 <= sum(shares) <= 102
    assert selected.errors() == []


def test_scaling_changes_the_pictures_and_stays_in_the_link(selected, chromium):
    selected.click("#samples--mode label", 1)
    selected.wait(lambda: "mode=attribution" in selected.sources()[0])
    before = selected.pixels(".thumbnail img")
    selected.choose_picture("scaling", "weak ones lifted")
    selected.wait(
        lambda: "scaling=gamma" in selected.sources()[0] and "scaling=gamma" in chromium.current_url
    )
    assert selected.pixels(".thumbnail img") != before


def rendering(page):
    return page.driver.execute_script(
        "return getComputedStyle(document.querySelector('.thumbnail img')).imageRendering"
    )


def test_small_pictures_keep_their_pixels_unless_asked(selected):
    selected.wait(lambda: rendering(selected) == "pixelated")
    selected.choose_picture("sampling", "smooth")
    selected.wait(lambda: rendering(selected) == "auto")
    selected.choose_picture("sampling", "pixelated")
    selected.wait(lambda: rendering(selected) == "pixelated")


def test_points_are_coloured_by_what_is_asked(page, chromium):
    page.choose("embedding--by", "correctness")
    page.wait(lambda: page.groups() and set(page.groups()) <= {"wrong", "correct"})
    assert set(page.texts(".legend-entry")) == set(page.groups())
    page.wait(lambda: "by=correctness" in chromium.current_url)
    link = chromium.current_url
    chromium.get("about:blank")
    chromium.get(link)
    page.wait(lambda: page.texts(".legend-entry"))
    assert page.one("#embedding--by").get_attribute("value") == "correctness"
    page.choose("embedding--by", "cluster")
    page.wait(lambda: "cluster 2" in page.groups() and not page.texts(".legend-entry"))
    assert page.errors() == []
