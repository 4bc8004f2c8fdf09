"""What a person does in the explorer, in real Chromium."""

import h5py
import numpy as np
import pytest
from explorer_page import Page
from selenium.webdriver.common.keys import Keys

from backlight.app.explorer.factory import make_app
from backlight.app.explorer.server import Server
from backlight.core.project import ANALYSIS_FILE, open_project
from synthetic_run import MARKED, MARKED_CLASS, PER_CLASS, write_run

pytestmark = pytest.mark.browser

MARKED_INDICES = list(range(MARKED_CLASS * PER_CLASS, MARKED_CLASS * PER_CLASS + MARKED))


def around(points, indices, margin=6):
    xs, ys = zip(*(points[i] for i in indices), strict=True)
    return min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin


def inside(points, box):
    x0, y0, x1, y1 = box
    return sorted(i for i, (x, y) in points.items() if x0 <= x <= x1 and y0 <= y <= y1)


def test_page_loads_from_this_server_alone_without_errors(page):
    assert page.texts(".panel-head h2")[:4] == ["Classes", "Eigenvalues", "Clusters", "Samples"]
    assert "drag on the map" in page.one("#samples--grid .empty").text
    assert page.all(".panel-problem") == []
    addresses = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)"
    )
    assert all(address.startswith((page.explorer.url, "data:", "blob:")) for address in addresses)
    assert page.errors() == []


def test_starts_at_the_most_suspicious_class_and_fits_1280_pixels(page):
    page.wait(lambda: page.texts("#overview--rows tr.chosen .name") == ["dog"])
    assert page.driver.execute_script(
        "const t = document.querySelector('.toolbar'), d = document.documentElement;"
        "return [t.scrollWidth <= t.clientWidth, d.scrollWidth <= d.clientWidth, d.scrollHeight <= 800]"
    ) == [True, True, True]


def test_box_selection_fills_the_grid(page):
    points = page.drawn()
    box = around(points, MARKED_INDICES)
    expected = inside(points, box)
    assert len(expected) >= MARKED
    page.drag(*box)
    page.wait(lambda: page.explorer.indices == expected, "selection did not arrive")
    page.wait(lambda: len(page.all(".thumbnail")) == min(24, len(expected)))
    page.wait(lambda: page.texts("#samples--count") == [f"{len(expected)} · drawn on the map"])
    assert page.sources()[0].startswith(f"/image/pets/{expected[0]}.png")
    page.wait(lambda: sum(page.groups().values()) == len(expected))


def test_a_second_box_may_start_inside_the_first(page):
    points = page.drawn()
    x0, y0, x1, y1 = around(points, MARKED_INDICES)
    page.drag(x0, y0, x1, y1)
    page.wait(lambda: len(page.explorer.indices) >= MARKED)
    assert page.one(".map .scatter-path").get_attribute("d") == "", "the outline stayed"
    inner = ((x0 + x1) / 2, (y0 + y1) / 2, x1, y1)
    page.drag(*inner)
    page.wait(lambda: page.explorer.indices == inside(points, inner), "the second selection is another")


def test_lasso_then_double_click_clears(page):
    points = page.drawn()
    x0, y0, x1, y1 = around(points, MARKED_INDICES)
    page.click(".map [data-tool=lasso]")
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    page.lasso(corners)
    page.wait(lambda: set(MARKED_INDICES) <= set(page.explorer.indices), "lasso selected nothing")
    page.double_click((x0 + x1) / 2, y1 + 30)
    page.wait(lambda: page.all("#samples--grid .empty"), "selection was not cleared")
    page.wait(lambda: page.explorer.indices == [])


def test_switching_class_redraws_and_drops_the_selection(page):
    before = set(page.drawn())
    page.click(".cluster")
    page.wait(lambda: page.all(".thumbnail"))
    page.choose("app--category", "cat")
    page.wait(lambda: set(page.points()) == set(range(PER_CLASS)), "the other class was not drawn")
    assert before.isdisjoint(page.points())
    page.wait(lambda: page.all("#samples--grid .empty"))
    page.wait(lambda: page.texts("#overview--rows tr.chosen .name") == ["cat"])
    assert page.errors() == []


def test_clicking_a_cluster_fills_the_grid(page):
    page.wait(lambda: len(page.all(".cluster")) == 4)
    assert page.texts(".cluster-name") == ["Cluster 0", "Cluster 1", "Cluster 2", "Noise"]
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    assert page.sources() == [f"/image/pets/{i}.png?mode=overlay&cmap=coldnhot" for i in MARKED_INDICES]
    page.wait(lambda: page.texts(".cluster.chosen .cluster-name") == ["Cluster 2"])
    page.wait(lambda: page.groups() == {"noise": 0, "cluster 0": 0, "cluster 1": 0, "cluster 2": MARKED})


def test_overview_sorts_and_leads_to_the_suspicious_cluster(page):
    page.choose("app--category", "cat")
    page.wait(lambda: page.texts("#overview--rows tr.chosen .name") == ["cat"])
    assert page.texts("#overview--rows .name") == ["dog", "<b>fish</b>", "cat"]
    page.click(".ranking th:first-child button")
    page.wait(lambda: page.texts("#overview--rows .name") == ["<b>fish</b>", "cat", "dog"])
    assert page.one(".ranking th:first-child").get_attribute("aria-sort") == "ascending"
    page.click(".ranking th:first-child button")
    page.wait(lambda: page.texts("#overview--rows .name") == ["dog", "cat", "<b>fish</b>"])
    page.all("#overview--rows .link")[0].send_keys(Keys.ENTER)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED, "the suspicious cluster is not shown")
    assert page.explorer.indices == MARKED_INDICES
    assert set(page.points()) == set(range(PER_CLASS, 2 * PER_CLASS))


def test_hover_shows_a_preview(page):
    points = page.drawn()
    for index in (MARKED_INDICES[3], PER_CLASS):  # the second is the first point of its class
        page.hover(*points[index])
        shown = f"/image/pets/{index}.png?mode=input"
        page.wait(lambda url=shown: page.sources(".preview img")[:1] == [url], "no preview")
        assert len(page.all(".preview img")) == 2
        assert page.texts(".preview-label") == ["dog"]
        assert f"dog/{index:04d}.png" in page.texts(".preview-file")
        assert "predicted" in page.one(".preview").text


def test_previews_stay_inside_the_map(page):
    points = page.drawn()
    ordered = sorted(points, key=lambda index: points[index])
    inside = """const box = (css) => document.querySelector(css).getBoundingClientRect();
        const [preview, map] = [box('.preview .preview-pictures'), box('.panel-embedding')];
        return preview.left >= map.left && preview.right <= map.right;"""
    for index in (ordered[0], ordered[-1]):
        page.hover(*points[index])
        page.wait(lambda i=index: f"/{i}.png" in (page.sources(".preview img") or [""])[0])
        page.wait(lambda: page.driver.execute_script(inside), "the preview leaves the map")


def test_mode_and_colour_map_change_the_pictures(page):
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    overlay = page.pixels(".thumbnail img")
    page.click("#samples--mode label", 1)
    page.wait(lambda: "mode=attribution" in page.sources()[0])
    attribution = page.pixels(".thumbnail img")
    page.choose_picture("cmap", "bwr")
    page.wait(lambda: "cmap=bwr" in page.sources()[0])
    white = page.pixels(".thumbnail img")
    page.wait(lambda: page.one("#samples--bar").get_attribute("src").endswith("cmap=bwr"))
    page.click("#samples--mode label", 0)
    page.wait(lambda: page.sources()[0].endswith("mode=input"))
    shown = [overlay, attribution, white, page.pixels(".thumbnail img")]
    distances = [np.abs(np.subtract(a, b)).max() for k, a in enumerate(shown) for b in shown[:k]]
    assert min(distances) > 5
    assert min(white) > 150


def test_more_samples_than_a_page(page):
    page.choose("app--clustering", "kmeans-02")
    page.wait(lambda: page.texts(".cluster-name") == ["Cluster 0", "Cluster 1"])
    page.click(".cluster", 0)
    page.wait(lambda: len(page.all(".thumbnail")) == 24)
    first = page.sources()
    page.wait(lambda: page.texts("#samples--pages") == ["1 of 2"])
    page.click("#samples--next")
    page.wait(lambda: page.texts("#samples--pages") == ["2 of 2"] and page.sources()[0] != first[0])
    assert set(first).isdisjoint(page.sources())


def test_large_view_shows_one_sample_side_by_side(page):
    page.click(".cluster", 2)
    page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
    page.click(".thumbnail", 1)
    page.wait(lambda: len(page.all(".modal .pictures:not(.channels) img")) == 3, "large view did not open")
    # The view fades in; what is wholly transparent has no text yet.
    page.wait(lambda: f"dog/{MARKED_INDICES[1]:04d}.png" in page.one(".sample-facts").text)
    page.wait(lambda: page.one(".steps button").is_displayed())
    page.click(".steps button", 1)
    page.wait(lambda: f"dog/{MARKED_INDICES[2]:04d}.png" in page.one(".sample-facts").text)
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.wait(lambda: not page.all(".modal.show"))
    page.click(".thumbnail", 2)
    page.wait(lambda: page.all(".modal.show"), "the sample looked at last does not open again")


def test_spectral_map_names_components_and_eigenvalues(page):
    page.wait(lambda: page.one("#app--x-control").get_attribute("hidden"))
    page.choose("app--embedding", "spectral")
    page.wait(lambda: page.axis_titles() == ["component 2  (λ = 0.02)", "component 3  (λ = 0.05)"])
    page.choose("app--x", "1")
    page.wait(lambda: page.axis_titles()[0] == "component 1  (λ = 0)")
    assert page.texts("#spectrum--gap") == ["gap after 3"]
    assert page.errors() == []


def test_a_change_of_clustering_sends_no_coordinates(served, tmp_path):
    page = served(write_run(tmp_path / "run", per_class=2000))
    page.drawn()
    page.wait(lambda: len(page.all(".cluster")) == 4)
    page.wait(lambda: page.all("#overview--rows tr.chosen"))
    page.driver.execute_script("performance.clearResourceTimings()")
    page.choose("app--clustering", "kmeans-02")
    page.wait(lambda: list(page.groups()) == ["cluster 0", "cluster 1"])
    page.wait(lambda: len(page.all(".cluster")) == 2)
    sent = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((e) => [e.name, e.transferSize])"
    )
    assert any("groups.json" in address for address, _ in sent)
    assert not any("points.json" in address for address, _ in sent)
    coordinates = 2 * 4 * 2000
    assert sum(size for _, size in sent) < coordinates


def test_classes_without_clusters_or_maps_say_so(served, tmp_path):
    path = write_run(tmp_path / "run")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        del file["00000000/cluster"], file["00000000/embedding/spectral"], file["00000000/score"]
        del file["00000002/index"]
    page = served(path)
    page.drawn()
    assert "<b>fish</b> is left out" in page.one(".notice").text
    page.choose("app--category", "cat")
    page.wait(lambda: set(page.points()) == set(range(PER_CLASS)))
    assert "no clusterings" in page.one("#clusters--list").text
    assert "no spectral embedding" in page.one("#spectrum--body").text
    assert page.errors() == []


def test_a_truncated_analysis_leaves_a_page_that_says_so(served, tmp_path):
    path = write_run(tmp_path / "run")
    file = path.parent / ANALYSIS_FILE
    file.write_bytes(file.read_bytes()[:2000])
    page = served(path)
    assert "analysis.h5 is not a readable HDF5 file" in page.one(".notice").text
    assert "overview cannot be shown" in page.one(".panel-overview .panel-problem").text
    assert "drag on the map" in page.one("#samples--grid .empty").text
    assert page.errors() == []


def test_switching_between_projects(chromium, run, tmp_path):
    other = write_run(tmp_path / "other", per_class=20, name="other/one & two", seed=1)
    with open_project(run) as first, open_project(other) as second:
        server = Server(make_app([first, second]).server, "127.0.0.1", 0)
        server.start()
        page = Page(chromium, server)
        page.drawn()
        page.choose("app--project", "other/one & two")
        page.wait(lambda: set(page.points()) == set(range(20, 40)), "the other project is not drawn")
        page.click(".cluster", 2)
        page.wait(lambda: len(page.all(".thumbnail")) == MARKED)
        assert page.pixels(".thumbnail img") != [0, 0, 0]
        assert page.errors() == []
        server.close()
