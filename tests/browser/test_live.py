"""A real network explains uploaded and selected pictures on the page, in real Chromium."""

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from backlight.core.analysis import analyze
from backlight.core.pipeline import pipeline
from backlight.core.project import open_project
from backlight.core.projects.live import Question
from backlight.core.run.model import load_live
from backlight.plugins.viewers.placing import place, space_of
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


def neighbours(page):
    return [int(source.split("/")[-1].split(".")[0]) for source in page.sources(".live-place .strip img")]


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
    near = neighbours(page)
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
        for question in (Question(), Question(target=2), Question("none", "input-x-gradient", 2)):
            if question.target is not None:
                page.choose("live--target", "class 2")
            if question.composite == "none":
                page.choose("live--composite", "none: plain gradient")
                page.choose("live--method", "input-x-gradient")
            found = live.explain(pixels, question)
            expected = place(project, category, found.relevance).index.tolist()
            page.wait(lambda f=found: explained(page) == f"class {f.target}")
            page.wait(lambda e=expected: neighbours(page) == e, "other neighbours than computed directly")
    assert any("this one was not" in note for note in page.texts(".live-notes li"))
    assert page.errors() == []


def expected_cross(project, live, category, chosen, pixels):
    """Return where a picture belongs: the mean of its neighbours' places, weighted by 1/distance."""
    found = live.explain(pixels, Question(layer=space_of(category)))
    placed = place(project, category, found.relevance if found.layer is None else found.layer)
    columns = category.embedding(chosen["name"])
    places = columns.columns(*columns.component[[chosen["x"], chosen["y"]]])
    rows = [category.index.tolist().index(index) for index in placed.index.tolist()]
    return np.average(places[rows], axis=0, weights=1 / np.maximum(placed.distance, 1e-12))


def test_the_cross_stands_on_the_map_whichever_embedding_and_leaves_when_cleared(page, root, tmp_path):
    pixels = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "<b>mine.png")
    page.driver.find_element(By.CSS_SELECTOR, "#live--upload input").send_keys(str(tmp_path / "<b>mine.png"))
    with open_project(root) as project:
        live = load_live(project)
        category = project.analysis("spray").category(page.one("#app--category").get_attribute("value"))
        for chosen in ({"name": "tsne", "x": 0, "y": 1}, {"name": "spectral", "x": 1, "y": 2}):
            page.choose("app--embedding", chosen["name"])
            expected = expected_cross(project, live, category, chosen, pixels)
            page.wait(
                lambda e=expected: (
                    (cross := (page.map() or {}).get("placed"))
                    and np.allclose([cross["x"], cross["y"]], e, rtol=1e-4, atol=1e-5)
                ),
                f"the cross is not at {expected} of {chosen['name']}",
            )
    assert page.one(".map .scatter-cross text").get_attribute("textContent") == "<b>mine.png"
    assert "a cross for <b>mine.png" in page.one("#embedding--map").get_attribute("aria-label")
    page.click("#live--clear")
    page.wait(lambda: page.map() and page.map()["placed"] is None, "the cross stays")
    page.wait(lambda: "Drop a picture" in page.one("#live--answer").text)
    assert page.errors() == []


def test_in_the_space_of_a_layer_the_same_layer_is_compared(served, tmp_path):
    run = write_live_run(tmp_path, layer=("3",))
    analyze(run, pipeline("spray-latent", neighbours=8, eigenvalues=4, perplexity=5.0), space="3", workers=1)
    page = served(run, model=f"{run.parent / 'model.py'}:network")
    page.drawn()
    page.choose("app--analysis", "spray-latent (3)")
    page.click(".lower-tab", page.texts(".lower-tab").index("Live"))
    page.click(".cluster", 0)
    page.wait(lambda: page.texts("#live--use")[0].startswith("Explain sample"))
    index = page.explorer.indices[0]
    page.click("#live--use")
    page.wait(lambda: neighbours(page)[:1] == [index])
    assert any("relevance of layer 3" in note for note in page.texts(".live-notes li"))
    x, y = page.wait(lambda: (page.map() or {}).get("placed") and [page.map()["placed"][k] for k in "xy"])
    with open_project(run) as project:
        category = project.analysis("spray-latent (3)").category(
            page.one("#app--category").get_attribute("value")
        )
        row = category.index.tolist().index(index)
        shown = page.wait(page.axis_titles)
        assert shown[0].startswith("tsne")
        np.testing.assert_allclose([x, y], category.embedding("tsne").columns(0, 1)[row], atol=1e-2)
    page.choose("live--composite", "none: plain gradient")
    page.choose("live--method", "occlusion")
    page.wait(
        lambda: any(n.startswith("Not placed: ") and "layer" in n for n in page.texts(".live-notes li"))
    )
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
