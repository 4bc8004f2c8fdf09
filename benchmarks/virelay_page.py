"""The steps of bench_explorer.py in ViRelAy, driven from outside: by what a person clicks.

Its canvas cannot be asked what it shows, so a step until points are drawn ends when their data has come:
drawing is not counted, which favours it. Steps until samples are shown end when their pictures have loaded.
"""

import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

SENT = "return performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)"
SAMPLES = """const [before, done] = arguments;
const look = () => {
  const images = [...document.querySelectorAll('img')].filter(({ src }) => src.includes('/api/projects/'));
  const now = images.map((image) => image.src).join();
  if (images.length && now !== before && images.every((image) => image.complete)) done(now);
  else setTimeout(look, 4);
};
look();"""
# The end of the last answer about data, once none has been under way for half a second.
ARRIVED = """const done = arguments[0];
let [seen, since] = [0, performance.now()];
const look = () => {
  const found = performance.getEntriesByType('resource').filter(({ name }) => name.includes('/api/'));
  if (found.length !== seen) [seen, since] = [found.length, performance.now()];
  if (seen && performance.now() - since > 1000) done(Math.max(...found.map((entry) => entry.responseEnd)));
  else setTimeout(look, 20);
};
look();"""


class ViRelAy:
    """A server process over a project file, and what it costs."""

    def __init__(self, executable, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        line = [executable, str(folder / "project.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{executable} does not answer")

    def memory(self):
        """Return (resident, peak) memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return [int(re.search(rf"{key}:\s+(\d+)", status)[1]) // 1024 for key in ("VmRSS", "VmHWM")]

    def close(self):
        self.process.terminate()
        self.process.wait()


class Screen:
    """The page and what it asked for."""

    def __init__(self, driver):
        self.driver, self.rows = driver, []

    def until_arrived(self, name, act):
        """Time an act until the data it asks for has come."""
        self.driver.execute_script("performance.clearResourceTimings()")
        start = self.driver.execute_script("return performance.timeOrigin + performance.now()")
        act()
        end = self.driver.execute_async_script(ARRIVED)
        origin = self.driver.execute_script("return performance.timeOrigin")
        self.rows.append((name, (origin + end - start) / 1000, self.driver.execute_script(SENT)))

    def until_samples(self, name, act, before=""):
        """Time an act until other samples are shown, and return which."""
        self.driver.execute_script("performance.clearResourceTimings()")
        start = time.perf_counter()
        act()
        shown = self.driver.execute_async_script(SAMPLES, before)
        self.rows.append((name, time.perf_counter() - start, self.driver.execute_script(SENT)))
        return shown

    def choose(self, text):
        for select in self.driver.find_elements(By.TAG_NAME, "select"):
            options = [option.text.strip() for option in select.find_elements(By.TAG_NAME, "option")]
            if any(option.startswith(text) for option in options):
                Select(select).select_by_index(next(k for k, o in enumerate(options) if o.startswith(text)))
                return
        raise LookupError(f"nothing to choose is called {text}")


def measure(executable, driver, folder, classes):
    """Return rows of (step, seconds, bytes), and the server's memory: at the start, now, at its peak."""
    server = ViRelAy(executable, folder)
    started, screen = server.memory()[0], Screen(driver)
    try:
        driver.get("about:blank")
        screen.until_arrived("data of the first points", lambda: driver.get(server.url))
        time.sleep(2)
        if classes > 1:
            screen.until_arrived("data of a class", lambda: screen.choose("class 1"))
        screen.until_arrived("data of a clustering", lambda: screen.choose("kmeans-08"))
        screen.until_arrived("data of the spectral map", lambda: screen.choose("spectral"))
        time.sleep(2)
        button = next(b for b in driver.find_elements(By.TAG_NAME, "button") if "CLUSTER 4" in b.text)
        shown = screen.until_samples("cluster click until pictures", button.click)
        box = driver.find_element(By.TAG_NAME, "canvas").rect
        screen.until_samples("box until pictures, with the drag", lambda: drag(driver, box), shown)
        return screen.rows, (started, *server.memory())
    finally:
        server.close()


def drag(driver, box):
    chain = ActionChains(driver, duration=20)
    pointer = chain.w3c_actions.pointer_action
    x0, y0 = box["x"] + 80, box["y"] + 60
    x1, y1 = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    pointer.move_to_location(int(x0), int(y0))
    pointer.pointer_down()
    for k in range(1, 6):
        pointer.move_to_location(int(x0 + (x1 - x0) * k / 5), int(y0 + (y1 - y0) * k / 5))
    pointer.pointer_up()
    chain.perform()
