"""The table of classes: filter, pages, every score, thumbnails; in real Chromium."""

import shutil

import h5py
import pytest

from backlight.core.project import ANALYSIS_FILE, ATTRIBUTION_FILE
from synthetic_run import MARKED, MARKED_CLASS, PER_CLASS, write_run

pytestmark = pytest.mark.browser


def shown(page):
    return page.texts("#overview--rows .name")


def test_names_filter_the_rows(page):
    page.one("#overview--search").send_keys("D")
    page.wait(lambda: shown(page) == ["dog"])
    assert page.texts("#overview--order") == ["1 of 3"]
    page.one("#overview--search").send_keys("<i>")
    page.wait(lambda: "No class or analysis has “D<i>” in its name." in page.one("#overview--rows").text)
    assert page.errors() == []


def test_every_score_takes_the_place_of_the_map_until_a_class_is_chosen(page):
    headings = page.texts(".ranking th:not([hidden])")
    assert headings == ["Class", "τ", "Samples", "Suspicious"]
    page.click("#overview--widen")
    page.wait(lambda: len(page.texts(".ranking th:not([hidden])")) == 8)
    assert not page.one(".panel-embedding").is_displayed()
    assert {"Chance", "Smallest", "Accuracy"} < set(page.texts(".ranking th:not([hidden])"))
    assert page.driver.execute_script(
        "const t = document.querySelector('.overview .scroll'); return t.scrollWidth <= t.clientWidth"
    )
    page.click('.ranking button[title^="Share of the smallest"]')
    page.wait(lambda: page.texts("#overview--order") == ["by smallest"])
    page.click("#overview--rows .link", shown(page).index("dog"))
    page.wait(lambda: page.one(".panel-embedding").is_displayed())
    page.wait(lambda: len(page.explorer.indices) == MARKED)
    page.wait(lambda: page.drawn())
    assert page.errors() == []


def test_classes_of_all_analyses_are_ranked_together_and_a_click_goes_to_theirs(served, tmp_path):
    path = write_run(tmp_path / "run")
    shutil.copy(path.parent / ANALYSIS_FILE, path.parent / "latent.h5")
    with h5py.File(path.parent / "latent.h5", "r+") as file:
        file["00000001/score/tau"][()], file["00000002/score/tau"][()] = 0.01, 0.99
    added = "  - analysis_method: spray <latent>\n    sources: [latent.h5]\nbacklight:"
    path.write_text(path.read_text().replace("backlight:", added))
    page = served(path)
    page.drawn()
    assert shown(page) == ["dog", "<b>fish</b>", "cat"]
    page.click("#overview--widen")
    page.wait(lambda: len(shown(page)) == 6)
    assert shown(page)[:2] == ["<b>fish</b>", "dog"]
    assert page.texts("#overview--rows td:nth-child(2)")[:2] == ["spray <latent>", "spray"]
    page.one("#overview--search").send_keys("<latent>")
    page.wait(lambda: shown(page) == ["<b>fish</b>", "cat", "dog"])
    page.click("#overview--rows .link", 2)
    page.wait(lambda: len(page.explorer.indices) == MARKED)
    assert page.one("#app--analysis").get_attribute("value") == "spray <latent>"
    page.wait(lambda: page.texts("#overview--rows tr.chosen .name") == ["dog"])
    assert page.errors() == []


def test_the_suspicious_cluster_has_its_mean_heatmap(page):
    page.wait(lambda: page.sources(".suspect-picture"))
    (source,) = page.sources(".suspect-picture")
    assert source.startswith("/mean/pets.png?")
    assert "cluster=2&" in source
    red, _, blue = page.pixels(".suspect-picture")
    assert red > blue, "the mark in the corner is positive relevance, drawn in warm colours"


def test_many_classes_come_in_pages(served, tmp_path):
    path = write_run(tmp_path / "run")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        for k in range(120):
            file.copy("00000000", f"group {k:03d}")
            file[f"group {k:03d}/score/tau"][()] = k / 1000
    page = served(path)
    page.drawn()
    page.wait(lambda: len(shown(page)) == 50)
    assert page.texts("#overview--pages") == ["1 of 3"]
    page.click("#overview--next")
    page.wait(lambda: page.texts("#overview--pages") == ["2 of 3"])
    page.wait(lambda: shown(page)[0] == "group 072")
    page.click(".ranking th:first-child button")
    page.wait(lambda: page.texts("#overview--pages") == ["1 of 3"])
    page.one("#overview--search").send_keys("11")
    page.wait(lambda: len(shown(page)) == 11)
    assert not page.one("#overview--pager").is_displayed()
    assert page.errors() == []


def test_a_picture_that_cannot_be_had_says_why(served, tmp_path):
    path = write_run(tmp_path / "run")
    with h5py.File(path.parent / ATTRIBUTION_FILE, "r+") as file:
        index = file["index"][()]
        index[index >= MARKED_CLASS * PER_CLASS] += 1000
        file["index"][...] = index
    page = served(path)
    page.wait(lambda: page.all(".suspect-picture.unavailable"))
    tile = page.one(".suspect-picture.unavailable")
    page.wait(lambda: "the heatmaps have no mean" in (tile.get_attribute("title") or ""))
    assert tile.get_attribute("alt").startswith("mean heatmap of")
