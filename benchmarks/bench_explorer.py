"""How fast the explorer answers a person: real Chromium, a server of its own, synthetic projects.

    python benchmarks/bench_explorer.py [--shape 10x5000] [--shape 1x100000]

Wall times on a shared machine are upper bounds; compare figures of one run only.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import h5py
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

DRAWN = """const map = document.querySelector('.map .js-plotly-plot');
return map && map._fullData && map._fullData.reduce((n, t) => n + t.x.length, 0)"""
LOADED = """const images = [...document.querySelectorAll('.thumbnail img')];
return images.length > 0 && images.every((x) => x.complete)"""
SIDE, CHUNK = 32, 5000
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
    with h5py.File(root / "data.h5", "w") as data, h5py.File(root / "attribution.h5", "w") as attribution:
        pictures = data.create_dataset("data", (n, 3, SIDE, SIDE), np.uint8, chunks=(1, 3, SIDE, SIDE))
        relevance = attribution.create_dataset(
            "attribution", (n, 3, SIDE, SIDE), np.float32, chunks=(1, 3, SIDE, SIDE)
        )
        block = rng.integers(0, 255, (CHUNK, 3, SIDE, SIDE), dtype=np.uint8)
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
        image_size=(SIDE, SIDE),
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


def clock(act, done, page):
    """Return the seconds from an act until what it leads to is drawn, and the bytes it sent."""
    page.driver.execute_script("performance.clearResourceTimings()")
    start = time.perf_counter()
    act()
    page.wait(done)
    seconds = time.perf_counter() - start
    sent = page.driver.execute_script(
        "return performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)"
    )
    return seconds, sent


def measure(folder, classes, per_class):
    from explorer_page import Page

    server, driver = Served(folder), browser()
    rows = []
    try:
        start = time.perf_counter()
        page = Page(driver, server)
        page.wait(lambda: driver.execute_script(DRAWN) == per_class)
        sent = driver.execute_script(
            "return performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)"
        )
        rows.append(("first points in a fresh browser", time.perf_counter() - start, sent))
        first = "return document.querySelector('.map .js-plotly-plot')._fullData[0]?.customdata[0]"
        names = "trace.name"
        if classes > 1:
            before = driver.execute_script(first)
            change = lambda: page.choose("app--category", "class 1")  # noqa: E731
            rows.append(
                ("class until drawn", *clock(change, lambda: driver.execute_script(first) != before, page))
            )
        change = lambda: page.choose("app--clustering", "kmeans-08")  # noqa: E731
        page.choose("app--clustering", "kmeans-02")
        page.wait(lambda: len(page.map_data(names)) == 2)
        rows.append(("clustering until drawn", *clock(change, lambda: len(page.map_data(names)) == 8, page)))
        spectral = lambda: page.choose("app--embedding", "spectral")  # noqa: E731
        found = clock(spectral, lambda: page.axis_titles()[0].startswith("component"), page)
        rows.append(("spectral map until drawn", *found))
        click = lambda: page.click(".cluster", 3)  # noqa: E731
        rows.append(
            ("cluster click until pictures", *clock(click, lambda: driver.execute_script(LOADED), page))
        )
        box = page.one(".map .nsewdrag").rect
        corners = [box["x"] + 60, box["y"] + 40, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        told = lambda: "drawn" in page.texts("#samples--count")[0] and driver.execute_script(LOADED)  # noqa: E731
        rows.append(("rectangle until pictures", *clock(lambda: page.drag(*corners), told, page)))
        rows.append(("heatmap, median of 60 (HTTP)", *heatmaps(server.url, classes * per_class)))
        return rows, server.memory()
    finally:
        driver.quit()
        server.close()


def heatmaps(url, samples):
    times, size = [], 0
    for index in np.random.default_rng(0).integers(0, samples, 60).tolist():
        start = time.perf_counter()
        with urllib.request.urlopen(f"{url}image/bench/{index}.png?mode=attribution&cmap=bwr") as answer:
            size = len(answer.read())
        times.append(time.perf_counter() - start)
    return median(times), size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", action="append", help="CLASSESxSAMPLES, e.g. 10x5000; repeatable")
    for shape in parser.parse_args().shape or ["10x5000", "1x100000"]:
        classes, per_class = map(int, shape.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            rows, memory = measure(write(Path(folder), classes, per_class), classes, per_class)
        print(f"\n{classes} x {per_class:,} samples")
        for name, seconds, sent in rows:
            print(f"  {name:34s} {seconds * 1000:9.0f} ms {sent / 1000:10.1f} kB")
        print(f"  {'server memory, now / peak':34s} {memory[0]:9d} MB {memory[1]:10d} MB")


if __name__ == "__main__":
    main()
