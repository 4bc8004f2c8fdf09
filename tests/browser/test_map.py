"""What a person does on the map beside selecting: look closer, move, recolour; what is drawn, in pixels."""

import h5py
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from test_explorer import MARKED_INDICES, around, inside

from backlight.core.project import ANALYSIS_FILE
from backlight.plugins.viewers.palette import NOISE_COLOUR, cluster_colour
from synthetic_run import PER_CLASS, write_run

pytestmark = pytest.mark.browser


def view(page):
    shown = page.wait(page.map)
    return np.array([*shown["view"]["x"], *shown["view"]["y"]])


def wheel(page, x, y, amount, pinched=False):
    page.driver.execute_script(
        """const [x, y, deltaY, ctrlKey] = arguments;
        document.querySelector('.map .scatter-stage').dispatchEvent(
          new WheelEvent('wheel',
            { clientX: x, clientY: y, deltaY, ctrlKey, bubbles: true, cancelable: true }));""",
        x,
        y,
        amount,
        pinched,
    )


def touch(page, kind, *places):
    points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def pixel(page, x, y):
    """Return the colour drawn at a place of the window."""
    return page.driver.execute_script(
        """const [x, y] = arguments, canvas = document.querySelector('.map canvas');
        const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
        const found = canvas.getContext('2d').getImageData((x - box.x) * scale, (y - box.y) * scale, 1, 1);
        return [...found.data].slice(0, 3);""",
        x,
        y,
    )


def rgb(colour):
    return list(bytes.fromhex(colour[1:]))


def drawn_in(found, colour, opacity):
    """Whether a pixel has a colour of some opacity on the card or on a line of the grid."""
    grounds = (rgb("#ffffff"), rgb("#eceef1"))
    wanted = [opacity * np.array(rgb(colour)) + (1 - opacity) * np.array(ground) for ground in grounds]
    return min(np.abs(found - one).max() for one in wanted) < 4


def alone(points):
    """Return the indices of points that no other one touches."""
    places = np.array(list(points.values()))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
    return [index for index, nearest in zip(points, distance.min(axis=1), strict=True) if nearest > 10]


def test_points_have_their_clusters_colour_and_fade_when_others_are_selected(page):
    points = page.drawn()
    dog = page.explorer.project.analysis("spray").category("dog")
    clusters = dict(zip(dog.index.tolist(), dog.clusters("hdbscan").tolist(), strict=True))
    free = alone(points)
    assert {clusters[i] for i in free} >= {-1, 0, 1, 2}
    colours = {i: NOISE_COLOUR if clusters[i] < 0 else cluster_colour(clusters[i]) for i in free}
    for index in free:
        opacity = 0.6 if clusters[index] < 0 else 0.85
        assert drawn_in(pixel(page, *points[index]), colours[index], opacity), index
    page.click(".cluster", 2)
    page.wait(lambda: page.groups().get("cluster 2"))
    for index in free:
        opacity = 1 if index in MARKED_INDICES else 0.2
        assert drawn_in(pixel(page, *points[index]), colours[index], opacity), index


def test_noise_lies_beneath(page):
    found = page.driver.execute_script(
        """const { ordered } = backlight.scatter;
        const [groups, noise] = [Uint16Array.of(1, 0, 2, 0, 1), [true, false, false]];
        const plain = ordered(groups, noise, null);
        const chosen = ordered(groups, noise, Uint8Array.of(0, 1, 0, 0, 1));
        return [[...plain.order], plain.ends, [...chosen.order], chosen.ends];"""
    )
    assert found == [[1, 3, 0, 2, 4], [2, 5, 5], [3, 0, 2, 1, 4], [1, 3, 5]]


def test_a_click_selects_a_point_and_its_name_is_said(page):
    points = page.drawn()
    index = alone(points)[0]
    chain = ActionChains(page.driver, duration=20)
    chain.w3c_actions.pointer_action.move_to_location(*map(round, points[index])).click()
    chain.perform()
    page.wait(lambda: page.explorer.indices == [index])
    assert page.texts("#samples--count") == [f"1 · sample {index}"]
    label = page.one("#embedding--map").get_attribute("aria-label")
    assert label == f"Map of {PER_CLASS} samples, tsne 1 across, tsne 2 up; 1 sample selected"


def test_a_drag_that_catches_nothing_clears_unless_it_adds(page):
    points = page.drawn()
    corner = page.one(".map .scatter").rect["x"] + 60, min(y for _, y in points.values()) - 8
    assert not inside(points, (*corner, corner[0] + 30, corner[1] + 30))
    page.click(".cluster", 2)
    page.wait(lambda: page.explorer.indices == MARKED_INDICES)
    page.click(".choosing label", 1)
    page.drag(*corner, corner[0] + 30, corner[1] + 30)
    page.click(".cluster", 0)
    added = page.explorer.project.analysis("spray").category("dog").members("hdbscan", 0).tolist()
    page.wait(lambda: page.explorer.indices == sorted([*MARKED_INDICES, *added]), "the first was lost")
    page.click(".choosing label", 0)
    page.drag(*corner, corner[0] + 30, corner[1] + 30)
    page.wait(lambda: page.explorer.indices == [])
    page.wait(lambda: page.all("#samples--grid .empty"))
    assert page.errors() == []


def test_the_wheel_zooms_about_the_pointer_and_reset_shows_all(page):
    points, before = page.drawn(), view(page)
    place = np.floor(points[MARKED_INDICES[0]])  # pointers stand on whole pixels
    wheel(page, *place.tolist(), -200)
    page.wait(lambda: not np.allclose(view(page), before))
    now = page.drawn()
    offset = 1.0016**200 * (points[MARKED_INDICES[0]] - place)
    assert np.allclose(now[MARKED_INDICES[0]], place + offset, atol=0.01)
    spread = np.ptp(np.array(list(now.values())), axis=0) / np.ptp(np.array(list(points.values())), axis=0)
    assert np.allclose(spread, 1.0016**200, rtol=1e-3)
    box = around(now, MARKED_INDICES[:3])
    stage = page.one(".map .scatter").rect
    expected = inside(now, box)
    assert box[0] > stage["x"] + 56, "the points left the plot"
    page.drag(*box)
    page.wait(lambda: page.explorer.indices == expected, "the selection does not follow the zoom")
    page.click(".map [data-tool=reset]")
    page.wait(lambda: np.allclose(view(page), before))


def nearest_to(points, place):
    return min(points, key=lambda index: np.hypot(*np.subtract(points[index], place)))


def test_two_fingers_pull_what_lies_between_them_apart(page):
    points = page.drawn()
    before, stage = view(page), page.one(".map .scatter").rect
    middle = np.array([stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2])
    index = nearest_to(points, middle)
    x, y = points[index]
    touch(page, "touchStart", (x - 30, y))
    touch(page, "touchStart", (x - 30, y), (x + 30, y))
    for far in (40, 50, 60):
        touch(page, "touchMove", (x - far + 20, y + 10), (x + far + 20, y + 10))
    touch(page, "touchEnd")
    page.wait(lambda: view(page)[1] - view(page)[0] < 0.6 * (before[1] - before[0]))
    size = lambda v: np.array([v[1] - v[0], v[3] - v[2]])  # noqa: E731
    np.testing.assert_allclose(size(view(page)), size(before) / 2, rtol=1e-6)
    # What lay between the fingers went along with them, and nothing was selected on the way.
    assert np.hypot(*np.subtract(page.drawn()[index], (x + 20, y + 10))) < 1
    assert page.explorer.indices == []
    box = around(page.drawn(), [index])
    touch(page, "touchStart", box[:2])
    touch(page, "touchMove", box[2:])
    touch(page, "touchEnd")
    page.wait(lambda: page.explorer.indices == inside(page.drawn(), box), "one finger selects no more")
    assert page.errors() == []


def test_a_pinch_on_a_trackpad_zooms_the_map_and_not_the_page(page):
    before, stage = view(page), page.one(".map .scatter").rect
    scale = "return window.visualViewport.scale * window.devicePixelRatio"
    page_scale = page.driver.execute_script(scale)
    for _ in range(4):
        wheel(page, stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2, -8, pinched=True)
    page.wait(lambda: view(page)[1] - view(page)[0] < 0.75 * (before[1] - before[0]))
    assert page.driver.execute_script(scale) == page_scale


def test_keys_zoom_from_anywhere_on_the_page(page):
    before = view(page)
    page.click("#app--facts")
    ActionChains(page.driver, duration=0).send_keys("+").perform()
    page.wait(lambda: np.isclose((view(page)[1] - view(page)[0]) / (before[1] - before[0]), 0.8))
    ActionChains(page.driver, duration=0).send_keys("-").perform()
    page.wait(lambda: np.allclose(view(page), before))


def test_the_map_is_moved_by_its_tool(page):
    points = page.drawn()
    page.click(".map [data-tool=pan]")
    assert page.one(".map [data-tool=pan]").get_attribute("aria-pressed") == "true"
    x, y = points[MARKED_INDICES[0]]
    page.drag(x, y, int(x) + 40, int(y) + 25)
    moved = np.array([int(x) + 40 - int(x), int(y) + 25 - int(y)])
    page.wait(lambda: np.allclose(np.subtract(page.drawn()[MARKED_INDICES[0]], (x, y)), moved, atol=0.5))
    assert page.explorer.indices == []


def test_a_rectangle_is_enlarged(page):
    points = page.drawn()
    page.click(".map [data-tool=zoom]")
    x0, y0, x1, y1 = map(int, around(points, MARKED_INDICES))
    page.drag(x0, y0, x1, y1)
    page.wait(lambda: page.drawn() != points)
    now, stage = page.drawn(), page.one(".map .scatter").rect
    left, right = stage["x"] + 56, stage["x"] + stage["width"] - 16
    for index in inside(points, (x0, y0, x1, y1)):
        assert abs(now[index][0] - (left + (points[index][0] - x0) / (x1 - x0) * (right - left))) < 1


def test_recolouring_keeps_the_view_and_another_map_has_its_own(page):
    points, before = page.drawn(), view(page)
    wheel(page, *points[MARKED_INDICES[0]], -200)
    page.wait(lambda: not np.allclose(view(page), before))
    closer = view(page)
    page.choose("embedding--by", "correctness")
    page.wait(lambda: page.groups() and set(page.groups()) <= {"wrong", "correct"})
    page.choose("app--clustering", "kmeans-02")
    page.click(".cluster", 0)
    page.wait(lambda: page.all(".thumbnail"))
    assert np.allclose(view(page), closer)
    page.choose("app--embedding", "spectral")
    page.wait(lambda: page.axis_titles()[0].startswith("component"))
    page.choose("app--embedding", "tsne")
    page.wait(lambda: page.axis_titles()[0] == "tsne 1")
    assert np.allclose(view(page), before)
    assert page.errors() == []


def test_keys_move_zoom_and_clear_the_focused_map(page):
    page.drawn()
    before = view(page)
    page.click(".cluster", 2)
    page.wait(lambda: page.explorer.indices == MARKED_INDICES)
    page.driver.execute_script("document.getElementById('embedding--map').focus()")
    keys = page.driver.switch_to.active_element
    keys.send_keys("+")
    page.wait(lambda: np.allclose(np.diff(view(page))[[0, 2]], 0.8 * np.diff(before)[[0, 2]]))
    keys.send_keys(Keys.ARROW_RIGHT)
    page.wait(lambda: view(page)[0] > before[0] + 0.1 * (before[1] - before[0]))
    keys.send_keys("0")
    page.wait(lambda: np.allclose(view(page), before))
    keys.send_keys(Keys.ESCAPE)
    page.wait(lambda: page.explorer.indices == [])


def test_the_legend_leaves_the_tools_free(page):
    page.choose("embedding--by", "confidence")
    page.wait(lambda: len(page.texts(".legend-entry")) > 2)
    boxes = [
        [(r["x"], r["y"], r["x"] + r["width"], r["y"] + r["height"]) for r in (e.rect for e in page.all(css))]
        for css in (".legend-entry", ".map .scatter-tools button, #embedding--by")
    ]
    card = page.one(".panel-embedding").rect
    for left, top, right, bottom in boxes[0]:
        assert card["x"] < left < right < card["x"] + card["width"]
        assert not any(x < right and left < x1 and y < bottom and top < y1 for x, y, x1, y1 in boxes[1])


def ink(page):
    return page.driver.execute_script(
        """const canvas = document.querySelector('.map canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return data.reduce((sum, value) => sum + 255 - value, 0);"""
    )


def test_lines_of_equal_density_come_and_go(page):
    page.drawn()
    before = ink(page)
    page.click(".map [data-tool=contours]")
    page.wait(lambda: ink(page) > before * 1.05)
    page.click(".map [data-tool=contours]")
    page.wait(lambda: ink(page) == before)


def test_the_dark_page_has_a_dark_map(page, chromium):
    points = page.drawn()
    corner = (min(x for x, _ in points.values()) - 12, 100)
    scheme = lambda value: {"features": [{"name": "prefers-color-scheme", "value": value}]}  # noqa: E731
    assert min(pixel(page, *corner)) > 220
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme("dark"))
    page.wait(lambda: max(pixel(page, *corner)) < 60)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme("light"))
    page.wait(lambda: min(pixel(page, *corner)) > 220)


def test_sharp_screens_get_more_pixels_and_other_sizes_another_drawing(page, chromium):
    page.drawn()
    width = "const c = document.querySelector('.map canvas'); return [c.width, c.clientWidth]"
    resize = lambda w, scale: chromium.execute_cdp_cmd(  # noqa: E731
        "Emulation.setDeviceMetricsOverride",
        {"width": w, "height": 800, "deviceScaleFactor": scale, "mobile": False},
    )
    resize(1600, 2)
    page.wait(lambda: (lambda drawn, shown: drawn == 2 * shown)(*chromium.execute_script(width)))
    points = page.drawn()
    box = around(points, MARKED_INDICES)
    page.drag(*box)
    page.wait(lambda: page.explorer.indices == inside(points, box))


def test_coordinates_that_are_no_numbers_are_left_out(served, tmp_path):
    path = write_run(tmp_path / "run")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        places = file["00000001/embedding/tsne"]
        places[3], places[4], places[5, 1] = np.nan, np.inf, -np.inf
    page = served(path)
    page.drawn()
    assert np.isfinite(view(page)).all()
    stage = page.one(".map .scatter").rect
    page.drag(
        stage["x"] + 57, stage["y"] + 50, stage["x"] + stage["width"] - 18, stage["y"] + stage["height"] - 46
    )
    lost = {PER_CLASS + k for k in (3, 4, 5)}
    page.wait(lambda: page.explorer.indices == sorted(set(range(PER_CLASS, 2 * PER_CLASS)) - lost))
    assert page.errors() == []


def test_a_class_without_a_map_says_so(served, tmp_path):
    path = write_run(tmp_path / "run")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        del file["00000000/embedding"]
    page = served(path)
    page.drawn()
    page.choose("app--category", "cat")
    page.wait(lambda: page.texts(".map .scatter .empty") == ["There is no map of this class."])
    assert page.errors() == []


def test_a_free_outline_holds_what_crossings_say(page):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 2000)).astype(np.float32)
    turn = np.sort(rng.uniform(0, 2 * np.pi, 60))
    reach = rng.uniform(0.2, 1, 60)
    corners = np.stack([reach * np.cos(turn), reach * np.sin(turn)], axis=1)
    found = page.driver.execute_script(
        "const [x, y, corners] = arguments;"
        "return backlight.scatter.inPolygon({ x: Float32Array.from(x), y: Float32Array.from(y) }, corners);",
        x.tolist(),
        y.tolist(),
        corners.tolist(),
    )
    # The outline goes once around the origin, so a point lies inside when it is nearer than its edge.
    k = np.searchsorted(turn, np.arctan2(y, x) % (2 * np.pi)) % 60
    a, b = corners[k - 1], corners[k]
    cross = lambda p, q: p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]  # noqa: E731
    place = np.stack([x, y], axis=1).astype(float)
    assert found == np.flatnonzero(cross(b - a, place - a) > 0).tolist()


def test_many_points_are_drawn_as_density_until_few_are_in_sight(page):
    page.drawn()
    page.driver.execute_script(
        """const map = document.getElementById('embedding--map').backlightMap, n = 300000;
        let seed = 1;
        const random = () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
        const [x, y] = [0, 1].map(() => Float32Array.from({ length: n }, random));
        const points = { key: 'many', x, y, index: Uint32Array.from(x, (_, k) => k), titles: ['x', 'y'] };
        const group = Uint16Array.from(x, (value) => (value < 0.5 ? 0 : 1));
        const [names, colours, quiet] = [['left', 'right'], ['#ff0000', '#0000ff'], [false, false]];
        map.show(points, { group, names, colours, quiet }, null);"""
    )
    shown = page.wait(page.map)
    assert (shown["dense"], shown["size"]) == (True, 300000)
    stage = page.one(".map .scatter").rect
    middle = (stage["x"] + 56 + (stage["width"] - 72) / 2, stage["y"] + stage["height"] / 2)
    red, blue = (pixel(page, middle[0] + way * 100, middle[1]) for way in (-1, 1))
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    for _ in range(3):
        wheel(page, *middle, -240)
    page.wait(lambda: page.map() and page.map()["dense"] is False)


@pytest.mark.parametrize(
    ("low", "high", "values", "texts"),
    [
        (-12.1, 15.1, [-10, 0, 10], ["−10", "0", "10"]),
        (0.013, 0.028, [0.015, 0.02, 0.025], ["0.015", "0.020", "0.025"]),
        (-3e-7, 3e-7, [-2e-7, 0, 2e-7], ["−2e−7", "0", "2e−7"]),
        (1.2e7, 4.1e7, [2e7, 3e7, 4e7], ["2e7", "3e7", "4e7"]),
    ],
)
def test_axes_have_round_numbers(page, low, high, values, texts):
    found = page.driver.execute_script(
        "const { step, values } = backlight.axes.ticks(arguments[0], arguments[1], 3.2);"
        "return [values, values.map((value) => backlight.axes.written(value, step))];",
        low,
        high,
    )
    assert np.allclose(found[0], values)
    assert found[1] == texts
