"""The panel of the example plugin, installed beside Backlight, in the browser."""

import pytest

from synthetic_run import CLASSES, MARKED

pytestmark = pytest.mark.browser


def test_it_counts_the_selected_samples(example_plugin, served, run):
    page = served(run)
    page.drawn()
    panel = "#app--outcome-panel"
    assert "Select samples" in page.one(panel).text
    page.click("#app--overview-panel tbody button")  # the suspicious class and cluster
    page.wait(lambda: page.all(f"{panel} tbody tr"), "no table of outcomes")
    rows = [text.split() for text in page.texts(f"{panel} tbody tr")]
    assert sum(int(row[-1]) for row in rows) == MARKED
    assert {row[0] for row in rows} == {CLASSES[1]}
