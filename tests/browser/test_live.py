"""A real network explains uploaded and selected pictures on the page, in real Chromium."""

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from backlight.core.project import open_project
from backlight.core.projects.live import Question, load_live
from backlight.plugins.viewers.placing import place
from live_run import write_live_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_live_run(tmp_path_factory.mktemp("live"))


@pytest.fixture
def page(served, root):
    found = served(root, model=f"{root.parent / 'model.py'}:network")
    found.drawn()
    found.click(".lower-tab", found.texts(".lower-tab").index("Live"))
    found.wait(lambda: "the run's weights" in found.one("#live--facts").text)
    return found


def explained(page):
    rows = page.texts(".live-prediction tr.chosen td:first-child")
    return rows[0] if rows else None


def test_a_selected_sample_is_explained_as_the_run_did_and_placed_on_itself(page):
    assert page.texts("#live--use") == ["No sample selected"]
    assert "Drop a picture" in page.one("#live--answer").text
    page.click(".cluster", 0)
    page.wait(lambda: page.texts("#live--use")[0].startswith("Explain sample"))
    index = page.explorer.indices[0]
    page.click("#live--use")
    page.wait(lambda: page.all(".live-place .strip img"))
    assert "Cosine with the heatmap that the run stored: 1.000." in page.texts(".live-notes li")
    assert f"/{index}.png" in page.sources(".live-place .strip img")[0]
    page.wait(lambda: page.pixels(".live-pictures figure:nth-child(2) img") != [0, 0, 0])
    near = [int(source.split("/")[-1].split(".")[0]) for source in page.sources(".live-place .strip img")]
    page.click("#live--neighbours")
    page.wait(lambda: sorted(page.explorer.indices) == sorted(near), "the neighbours are not selected")
    assert page.errors() == []


def test_an_uploaded_picture_with_any_class_composite_and_method(page, root, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    page.driver.find_element(By.CSS_SELECTOR, "#live--upload input").send_keys(str(tmp_path / "noise.png"))
    page.wait(lambda: explained(page))
    with open_project(root) as project:
        live = load_live(project)
        category = project.analysis("spray").category(page.one("#app--category").get_attribute("value"))
        columns = category.embedding("tsne").columns(0, 1)
        for question in (Question(), Question(target=2), Question("none", "input-x-gradient", 2)):
            if question.target is not None:
                page.choose("live--target", "class 2")
            if question.composite == "none":
                page.choose("live--composite", "none: plain gradient")
                page.choose("live--method", "input-x-gradient")
            found = live.explain(pixels, question)
            expected = place(project, category, found.relevance, columns).index.tolist()
            page.wait(lambda f=found: explained(page) == f"class {f.target}")
            page.wait(
                lambda e=expected: (
                    [
                        int(source.split("/")[-1].split(".")[0])
                        for source in page.sources(".live-place .strip img")
                    ]
                    == e
                ),
                "other neighbours than computed directly",
            )
    assert any("this one was not" in note for note in page.texts(".live-notes li"))
    assert page.errors() == []


def test_what_is_no_picture_gets_a_sentence_and_the_panel_lives(page, tmp_path):
    bad = tmp_path / "<b>bad.png"
    bad.write_bytes(b"not a picture")
    page.driver.find_element(By.CSS_SELECTOR, "#live--upload input").send_keys(str(bad))
    page.wait(lambda: "<b>bad.png is no picture that can be read" in page.texts("#live--said")[0])
    page.click(".cluster", 0)
    page.wait(lambda: page.texts("#live--use")[0].startswith("Explain sample"))
    page.click("#live--use")
    page.wait(lambda: explained(page))
    assert page.errors() == []


def test_without_a_model_the_panel_says_how_to_get_one(served, run):
    page = served(run)
    page.drawn()
    page.click(".lower-tab", page.texts(".lower-tab").index("Live"))
    assert "backlight explore RUN --live" in page.one(".panel-live .empty").text
    assert page.errors() == []
