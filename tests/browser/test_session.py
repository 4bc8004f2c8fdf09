"""What is looked at travels: in the address, as a file out, as a file in."""

import json

import pytest
from explorer_page import Page
from selenium.webdriver.common.by import By
from test_explorer import MARKED_INDICES

from synthetic_run import MARKED

pytestmark = pytest.mark.browser


def arrange(page):
    """Choose something other than the start in every control."""
    page.choose("app--embedding", "spectral")
    page.wait(lambda: page.axis_titles()[0].startswith("component 2"))
    page.choose("app--y", "5")
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    page.click("#samples--mode label", 1)
    page.choose_picture("cmap", "bwr")
    page.wait(lambda: "cmap=bwr" in page.sources()[0] and "mode=attribution" in page.sources()[0])


def shown(page):
    values = page.driver.execute_script(
        "return ['class','clustering','embedding','x','y'].map((n) => document.getElementById("
        "`app--${n === 'class' ? 'category' : n}`).value)"
    )
    return [*values, page.axis_titles(), page.texts("#samples--count"), page.sources()]


def test_a_link_restores_everything(page, chromium):
    arrange(page)
    page.wait(lambda: "cmap=bwr" in page.driver.current_url and "selection=60-75" in page.driver.current_url)
    before, link = shown(page), page.driver.current_url
    chromium.get("about:blank")
    again = Page(chromium, page.explorer)
    again.drawn()
    chromium.get("about:blank")
    chromium.get(link)
    again.drawn()
    again.wait(lambda: len(again.all(".thumbnail")) == MARKED, "the selection did not come back")
    again.wait(lambda: shown(again) == before)
    assert again.explorer.indices == MARKED_INDICES
    assert again.texts("#samples--mode .active") == ["Attribution"]
    assert again.errors() == []


@pytest.mark.parametrize(
    "link",
    [
        "#project=x&class=y&map=z&x=-1&y=abc",
        "#selection=9-1,5-99999999999&cmap=evil&mode=%3Cb%3E",
        "#%%%&&=&=",
        "#class=00000001&selection=1e9",
    ],
)
def test_links_that_do_not_fit_show_the_start(page, chromium, link):
    chromium.get("about:blank")
    chromium.get(page.explorer.url + link)
    page.drawn()
    assert page.texts("#overview--rows tr.chosen .name") == ["dog"]
    assert page.errors() == []


def test_export_and_import_through_files(page, chromium, tmp_path):
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    arrange(page)
    before = shown(page)
    page.click("#app--export")
    page.wait(lambda: list(tmp_path.glob("pets-dog.json")), "nothing was downloaded")
    document = json.loads((tmp_path / "pets-dog.json").read_text())
    assert document["selectedEmbeddingVectorsIndices"] == MARKED_INDICES
    chromium.get("about:blank")
    again = Page(chromium, page.explorer)
    again.drawn()
    chromium.find_element(By.CSS_SELECTOR, "#app--import input").send_keys(str(tmp_path / "pets-dog.json"))
    again.wait(lambda: len(again.all(".thumbnail")) == MARKED)
    again.wait(lambda: shown(again) == before)
    assert again.errors() == []


def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(page, chromium, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"projectName": "<img src=x onerror=alert(1)>"}')
    chromium.find_element(By.CSS_SELECTOR, "#app--import input").send_keys(str(bad))
    page.wait(lambda: "unknown project '<img src=x" in "".join(page.texts("#app--toast")))
    assert page.texts("#overview--rows tr.chosen .name") == ["dog"]
    assert page.errors() == []


def test_share_copies_the_link(page, chromium):
    chromium.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    page.click("#app--share")
    page.wait(lambda: "ink" in "".join(page.texts("#app--toast")))
    assert page.errors() == []
