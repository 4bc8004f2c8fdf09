"""What is looked at travels: in the address, as a file out, as a file in."""

import json

import pytest
from explorer_page import Page
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
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
    page.click('.map [data-tool="contours"]')
    for _ in range(3):
        page.click('.map [data-tool="closer"]')
    page.one("#embedding--map").send_keys(Keys.ARROW_LEFT)


def shown(page):
    values = page.driver.execute_script(
        "return ['class','clustering','embedding','x','y'].map((n) => document.getElementById("
        "`app--${n === 'class' ? 'category' : n}`).value)"
    )
    looked = page.map() or {"view": {"x": [0], "y": [0]}, "contours": None}
    range_ = [float(f"{value:.5g}") for value in (*looked["view"]["x"], *looked["view"]["y"])]
    return [
        *values,
        page.axis_titles(),
        page.texts("#samples--count"),
        page.sources(),
        range_,
        looked["contours"],
    ]


def test_a_link_restores_everything(page, chromium):
    arrange(page)
    parts = ("cmap=bwr", "selection=60-75", "zoom=", "contours=on")
    page.wait(lambda: all(part in page.driver.current_url for part in parts))
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
    again.wait(lambda: "zoom=" in again.driver.current_url, "the link forgot where the map is zoomed to")
    assert again.errors() == []


@pytest.mark.parametrize(
    "link",
    [
        "#project=x&class=y&map=z&x=-1&y=abc",
        "#selection=9-1,5-99999999999&cmap=evil&mode=%3Cb%3E",
        "#%%%&&=&=",
        "#class=00000001&selection=1e9",
        "#project=pets&analysis=spray&class=00000001&map=tsne&x=0&y=1&zoom=1,0,NaN,1e999&contours=1",
        "#project=pets&analysis=spray&class=00000001&map=tsne&x=0&y=1&zoom=-1e300,1e300,0,1e-300",
    ],
)
def test_links_that_do_not_fit_show_the_start(page, chromium, link):
    chromium.get("about:blank")
    chromium.get(page.explorer.url + link)
    page.drawn()
    page.wait(lambda: page.texts("#overview--rows tr.chosen .name") == ["dog"], "the start is not shown")
    assert -20 < page.map()["view"]["x"][0] < page.map()["view"]["x"][1] < 20
    assert page.errors() == []


def test_export_and_import_through_files(page, chromium, tmp_path):
    chromium.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    arrange(page)
    page.wait(lambda: "zoom=" in page.driver.current_url)
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
