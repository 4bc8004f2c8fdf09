"""Two clusterings side by side, in real Chromium."""

import h5py
import pytest
from explorer_page import Page

from backlight.app.explorer.factory import make_app
from backlight.app.explorer.server import Server
from backlight.core.project import DATA_FILE, open_project
from backlight.plugins.viewers.overlap import cell, side
from synthetic_run import write_run

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
    project = compared.explorer.project
    sides = side(project, dog, "hdbscan"), side(project, dog, "kmeans-02")
    both = [cell(*sides, (0, c)).tolist() for c in (0, 1)]
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


def test_another_project_beside_it_with_linked_selection(chromium, run, tmp_path):
    path = write_run(tmp_path / "other", per_class=30, name="other", seed=4)
    with h5py.File(path.parent / DATA_FILE, "r+") as file:  # its dogs are every second one of ours
        file["source"][30:60] = [f"dog/{60 + 2 * k:04d}.png" for k in range(30)]
    with open_project(run) as ours, open_project(path) as theirs:
        server = Server(make_app([ours, theirs]).server, "127.0.0.1", 0)
        server.start()
        page = Page(chromium, server)
        page.drawn()
        page.click(".lower-tab", page.texts(".lower-tab").index("Compare"))
        page.choose("compare--project", "other")
        page.wait(lambda: "30 shared samples" in page.one("#compare--overlap").text)
        page.wait(lambda: (page.map("compare") or {}).get("size") == 30)
        page.click(".cluster", 2)
        page.wait(lambda: sum(page.groups("compare").values()) == 8, "8 of the 16 marked dogs have a twin")
        page.choose("compare--category", "cat")
        page.wait(lambda: "share no samples by the names" in page.one("#compare--overlap").text)
        assert page.errors() == []
        chromium.get("about:blank")
        server.close()
