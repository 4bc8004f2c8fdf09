"""How fast the explorer answers a person: real Chromium, a server of its own, synthetic projects.

    python benchmarks/bench_explorer.py [--shape 10x5000] [--shape 1x1000000] [--keep FOLDER]
                                        [--virelay EXECUTABLE]

Seconds count from a person's act until the answer is painted. Wall times on a shared machine are upper
bounds; compare figures of one run only. With --virelay, ViRelAy opens the same project in the same browser.
"""

import argparse
import http.client
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import h5py
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import virelay_page

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

MAP = "document.querySelector('.map .scatter')?.backlightMap"
# Polled in the page, where it costs nothing. Arguments: a condition on `map`, and the callback of the driver,
# which gets the moment it was seen to hold.
POLL = f"""const [condition, done] = arguments;
const holds = new Function('map', `return ${{condition}}`);
const look = () => {{
  const map = {MAP};
  if (map && map.painted && !map.pending && holds(map)) done(performance.now());
  else setTimeout(look, 4);
}};
look();"""
# What a person does counts from the event in the page: how long the driver takes to do it does not. A map
# counts as drawn from the first painting at which the condition, arguments[0], holds.
ARM = f"""window.acted = window.drawn = null;
const holds = new Function('map', `return ${{arguments[0]}}`);
const heard = () => {{ window.acted = window.acted ?? performance.now(); }};
for (const kind of ['change', 'click', 'pointerup'])
  document.addEventListener(kind, heard, {{ capture: true, once: true }});
document.addEventListener('backlight:painted', () => {{
  if (window.drawn === null && holds({MAP})) window.drawn = performance.now();
}});
performance.clearResourceTimings();"""
LOADED = """(() => { const images = [...document.querySelectorAll('.thumbnail img')];
  return images.length > 0 && images.every((x) => x.complete); })()"""
SIDE, SMALL_SIDE, CHUNK = 32, 8, 5000
MANY = 200_000
"""From here on pictures are small and stored in one piece, so that a million of them fit on a disk."""
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1280,800",
)


def write(root, classes, per_class):
    """Write a project of random pictures with clustered maps; return its folder."""
    from backlight.core.project import Label, LabelMap, write_project

    rng, n = np.random.default_rng(0), classes * per_class
    side, chunks = (SIDE, (1, 3, SIDE, SIDE)) if n <= MANY else (SMALL_SIDE, None)
    with h5py.File(root / "data.h5", "w") as data, h5py.File(root / "attribution.h5", "w") as attribution:
        pictures = data.create_dataset("data", (n, 3, side, side), np.uint8, chunks=chunks)
        relevance = attribution.create_dataset("attribution", (n, 3, side, side), np.float32, chunks=chunks)
        block = rng.integers(0, 255, (CHUNK, 3, side, side), dtype=np.uint8)
        for start in range(0, n, CHUNK):
            stop = min(start + CHUNK, n)
            pictures[start:stop] = block[: stop - start]
            relevance[start:stop] = block[: stop - start] / np.float32(128) - 1
        labels = np.repeat(np.arange(classes), per_class)
        data["label"] = attribution["label"] = labels.astype(np.uint16)
        attribution["prediction"] = rng.normal(size=(n, max(classes, 2))).astype(np.float32)
        attribution["index"] = np.arange(n, dtype=np.uint32)
    with h5py.File(root / "analysis.h5", "w") as file:
        for number in range(classes):
            group = file.create_group(f"{number:08d}")
            index = np.flatnonzero(labels == number)
            clusters = rng.integers(0, 8, len(index))
            centres = rng.normal(0, 5, (8, 2))
            group["index"] = index.astype(np.uint32)
            group["embedding/tsne"] = (centres[clusters] + rng.normal(size=(len(index), 2))).astype(
                np.float32
            )
            group["embedding/spectral"] = rng.normal(size=(len(index), 32)).astype(np.float32)
            group["embedding/spectral"].attrs["eigenvalue"] = np.linspace(1, 0, 32)
            group["cluster/kmeans-08"] = clusters.astype(np.int32)
            group["cluster/kmeans-02"] = (clusters % 2).astype(np.int32)
    write_project(
        root,
        name="bench",
        model="none",
        dataset="noise",
        labels=LabelMap([Label(k, f"class {k}") for k in range(classes)]),
        method="noise",
        strategy="true_label",
        image_size=(side, side),
        analyses=["spray"],
    )
    return root


class Served:
    """A server process over a project, and what it costs."""

    def __init__(self, folder):
        line = [
            sys.executable,
            "-u",
            "-m",
            "backlight",
            "explore",
            str(folder),
            "--port",
            "0",
            "--no-browser",
        ]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline())[0]

    def memory(self):
        """Return (resident, peak) memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"{key}:\s+(\d+)", status)[1]) // 1024 for key in ("VmRSS", "VmHWM")]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    return driver


SENT = "return performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)"


class Clock:
    """Rows of (step, seconds, bytes) of one page, in the page's own clock."""

    def __init__(self, driver):
        self.driver, self.rows = driver, []

    def until(self, done):
        """Wait until a condition on `map` and the page holds; return when it was seen to, in ms."""
        return self.driver.execute_async_script(POLL, done)

    def step(self, name, act, *done):
        """Time an act until what it leads to, or to several things one after the other."""
        self.driver.execute_script(ARM, done[0])
        act()
        for condition in done:
            end = self.until(condition)
            if condition != LOADED:
                end = self.driver.execute_script("return window.drawn")
            start = self.driver.execute_script("return window.acted ?? 0")  # 0: the page itself was opened
            word = f"{name} until {'pictures' if condition == LOADED else 'drawn'}"
            self.rows.append((word, (end - start) / 1000, self.driver.execute_script(SENT)))


def measure(folder, classes, per_class):
    """Return the rows, and the server's memory in MB: at the start, at the end, at its peak."""
    from explorer_page import Page

    server, driver = Served(folder), browser()
    started = server.memory()[0]
    try:
        driver.get("about:blank")
        clock, page = Clock(driver), Page.__new__(Page)
        first = {"source": f"(function () {{ {ARM} }})('true')"}
        armed = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", first)
        clock.step("fresh browser", lambda: page.__init__(driver, server), "true")
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", armed)
        page.wait(lambda: page.all(".cluster"))
        time.sleep(1)  # what else the page loads is no part of the next step
        if classes > 1:
            second = f"map.cloud.index[0] === {per_class}"
            clock.step("class", lambda: page.choose("app--category", "class 1"), second)
            time.sleep(1)
        page.choose("app--clustering", "kmeans-02")
        clock.until("map.cloud.names.length === 2")
        time.sleep(1)
        eight = "map.cloud.names.length === 8"
        clock.step("clustering", lambda: page.choose("app--clustering", "kmeans-08"), eight)
        time.sleep(1)
        spectral = "map.titles[0].startsWith('component')"
        clock.step("spectral map", lambda: page.choose("app--embedding", "spectral"), spectral)
        page.wait(lambda: len(page.all(".cluster")) == 8)
        time.sleep(1)
        clock.step("cluster", lambda: page.click(".cluster", 3), "map.cloud.chosen", LOADED)
        box = page.one(".map .scatter").rect
        x0, y0 = box["x"] + 80, box["y"] + 60
        x1, y1 = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for tool, corners in (
            ("rectangle", [(x0, y0), (x1, y1)]),
            ("lasso", [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]),
        ):
            page.click("#app--select-none")
            clock.until("!map.cloud.chosen && !document.querySelector('.thumbnail')")
            page.click(f".map [data-tool={'box' if tool == 'rectangle' else tool}]")
            time.sleep(0.5)
            clock.step(tool, lambda corners=corners: page.lasso(corners), "map.cloud.chosen", LOADED)
        clock.rows.append(("zoom step until drawn", driver.execute_async_script(ZOOM), 0))
        clock.rows += heatmaps(server.url, classes * per_class)
        return clock.rows, (started, *server.memory())
    finally:
        driver.quit()
        server.close()


ZOOM = f"""const done = arguments[0], map = {MAP}, times = [];
const step = () => {{
  const start = performance.now();
  map.zoom(0.9, [0, 0]);
  const wait = () => {{
    if (map.pending) setTimeout(wait, 0);
    else if (times.push(performance.now() - start) < 9) step();
    else done(times.sort((a, b) => a - b)[4] / 1000);
  }};
  wait();
}};
step();"""


def heatmaps(url, samples):
    """Time 60 heatmaps fresh and 60 cached over one connection; the attribution file has an `index`."""
    indices = np.random.default_rng(0).integers(0, samples, 60).tolist()
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    for state in ("fresh", "cached"):
        times, size = [], 0
        for index in indices:
            start = time.perf_counter()
            connection.request("GET", f"/image/bench/{index}.png?mode=attribution&cmap=bwr")
            size = len(connection.getresponse().read())
            times.append(time.perf_counter() - start)
        yield f"heatmap, {state}, median of 60", median(times), size
    connection.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", action="append", help="CLASSESxSAMPLES, e.g. 10x5000; repeatable")
    parser.add_argument("--keep", type=Path, help="keep the projects in this folder, or use those there")
    parser.add_argument("--virelay", help="executable of ViRelAy, to measure it in the same run")
    options = parser.parse_args()
    for shape in options.shape or ["10x5000", "1x100000", "1x1000000"]:
        classes, per_class = map(int, shape.split("x"))
        with tempfile.TemporaryDirectory() as scratch:
            folder = (options.keep or Path(scratch)) / shape
            if not (folder / "project.yaml").is_file():
                folder.mkdir(parents=True)
                write(folder, classes, per_class)
            report(f"{classes} x {per_class:,} samples", *measure(folder, classes, per_class))
            if options.virelay:
                driver = browser()
                found = virelay_page.measure(options.virelay, driver, folder, classes)
                driver.quit()
                report(f"{classes} x {per_class:,} samples, ViRelAy", *found)


def report(title, rows, memory):
    print(f"\n{title}")
    for name, seconds, sent in rows:
        print(f"  {name:34s} {seconds * 1000:9.1f} ms {sent / 1000:10.1f} kB")
    started, now, peak = memory
    print(f"  server memory: {started} MB at the start, {now} MB at the end, {peak} MB at most", flush=True)


if __name__ == "__main__":
    main()
