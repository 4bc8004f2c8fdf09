"""Every panel on classes without results and without samples: it says what is missing, and nothing fails."""

import pytest

from backlight.testing.bare_run import write_bare_run

pytestmark = pytest.mark.browser

SAYS = {
    "Samples": "Select samples to see them here",
    "Cluster cards": "no clusterings, so there are no cards",
    "Tags": "No tags yet",
    "Compare": "Both need a clustering",
    "Live": "started without a model",
}


@pytest.mark.parametrize("number", [0, 1], ids=["no results", "no samples"])
def test_every_panel_says_what_is_missing(served, tmp_path, number):
    page = served(write_bare_run(tmp_path))
    page.wait(lambda: page.texts("#overview--rows .name"))
    page.wait(lambda: "two" in page.texts("#app--category option"))
    page.choose("app--category", ("one", "two")[number])
    page.wait(lambda: "no clusterings" in page.one("#clusters--list").text)
    page.wait(lambda: "no spectral embedding" in page.one("#spectrum--body").text)
    page.wait(lambda: "no map" in page.one(".panel-embedding").text)
    for tab, words in SAYS.items():
        page.click(".lower-tab", page.texts(".lower-tab").index(tab))
        front = ".slot-bottom > .panel:not([hidden])"
        page.wait(lambda w=words, css=front: w in page.one(css).text, f"{tab} does not say “{words}”")
    page.click("#overview--widen")
    page.wait(lambda: page.one("#overview--root").get_attribute("class") == "overview wide")
    page.click("#app--select-all")
    assert page.texts(".panel-problem") == []
    assert page.errors() == []
