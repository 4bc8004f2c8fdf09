"""Tagging a selection and handing it on, in real Chromium."""

import csv
import json

import pytest
from explorer_page import Page
from selenium.webdriver.common.by import By
from test_explorer import MARKED_INDICES

from synthetic_run import MARKED, write_run

pytestmark = pytest.mark.browser


@pytest.fixture
def tags(served, tmp_path, chromium):
    page = served(write_run(tmp_path / "run"))
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.drawn()
    page.click(".lower-tab", page.texts(".lower-tab").index("Tags"))
    page.wait(lambda: "No tags yet" in page.one("#annotate--tags").text)
    return page


def tag(page, name, note=""):
    page.click(".cluster", 2)
    page.wait(lambda: page.texts("#annotate--add") == [f"Tag {MARKED} selected"])
    page.one("#annotate--name").send_keys(name)
    page.one("#annotate--note").send_keys(note)
    page.click("#annotate--add")
    page.wait(lambda: page.all(".tag-row"), "no tag appeared")


def test_a_tag_is_saved_selected_and_read_again(tags, chromium):
    tag(tags, "<i>corner</i>", "white square")
    saved = tags.explorer.project.annotations.tags()["<i>corner</i>"]
    assert (saved.samples.tolist(), saved.note) == (MARKED_INDICES, "white square")
    assert tags.texts(".tag-row .link") == ["<i>corner</i>"]
    chromium.get("about:blank")
    again = Page(chromium, tags.explorer)
    again.drawn()
    again.click(".lower-tab", 2)
    again.click(".tag-row .link")
    again.wait(lambda: again.explorer.indices == MARKED_INDICES)
    again.wait(lambda: again.one("#annotate--note").get_attribute("value") == "white square")
    assert again.errors() == []


def test_samples_are_taken_out_and_tags_removed(tags):
    tag(tags, "mark")
    tags.click('.tag-row [title^="Take"]')
    tags.wait(lambda: tags.texts(".tag-row .number") == ["0"])
    tags.click('.tag-row [title^="Remove"]')
    tags.wait(lambda: not tags.all(".tag-row"))
    assert len(tags.texts("#annotate--history li")) == 3
    assert tags.errors() == []


def test_tags_and_notes_are_undone_and_redone_and_two_people_lose_nothing(tags, chromium):
    notes = tags.explorer.project.annotations
    tag(tags, "mark", "white square")
    undo, redo = '#annotate--steps [title^="Undo: note mark"]', '#annotate--steps [title^="Redo: note mark"]'
    tags.click(undo)
    tags.wait(lambda: tags.texts(".tag-row .note") == [""])
    tags.click(redo)
    tags.wait(lambda: tags.texts(".tag-row .note") == ["white square"])
    tags.click('.tag-row [title^="Remove"]')
    tags.wait(lambda: not tags.all(".tag-row"))
    tags.click('#annotate--steps [title^="Undo: remove mark"]')
    tags.wait(lambda: tags.texts(".tag-row .number") == [str(MARKED)])
    # Somebody else tags and undoes the note while this page still shows the buttons of before.
    notes.tag("theirs", [1, 2])
    notes.undo(next(event for event in notes.history() if event.do == "note"))
    tags.click('#annotate--steps [title^="Redo: remove mark"]')
    tags.wait(lambda: "somebody has changed this meanwhile" in tags.texts("#annotate--said")[0].lower())
    assert {name: len(t.samples) for name, t in notes.tags().items()} == {"mark": MARKED, "theirs": 2}
    assert tags.errors() == []


def test_export_and_load_into_another_copy(tags, tmp_path, served, chromium):
    tag(tags, "mark")
    tags.click('[title^="Ids"][title$="CSV"]')
    tags.wait((tmp_path / "samples.csv").is_file)
    found = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    assert [int(row["id"]) for row in found] == MARKED_INDICES
    assert {row["cluster"] for row in found} == {"2"}
    tags.click('[title="All tags, for another copy"]')
    file = tmp_path / "project.annotations.json"
    tags.wait(file.is_file)
    assert json.loads(file.read_text())["events"][0]["samples"] == "60-75"
    copy = served(write_run(tmp_path / "copy"))
    copy.drawn()
    copy.click(".lower-tab", 2)
    chromium.find_element(By.CSS_SELECTOR, "#annotate--load input").send_keys(str(file))
    copy.wait(lambda: copy.texts(".tag-row .number") == [str(MARKED)])
    assert copy.explorer.project.annotations.tags()["mark"].samples.tolist() == MARKED_INDICES
    assert copy.errors() == []
