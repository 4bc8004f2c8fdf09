"""Retake the pictures of the explorer in docs/images from a run of the demo: `screenshots.py RUN WEIGHTS`.

Needs Chromium and chromedriver. `backlight demo --no-explore` leaves both in the folder it writes.
"""

import shutil
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from backlight.app.web import explore

IMAGES = Path(__file__).parents[1] / "images"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)


def browser(dark):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in OPTIONS:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    size = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    return driver


def settle(driver, seconds=3):
    time.sleep(seconds)
    driver.execute_script(
        "document.querySelectorAll('img').forEach((image) => image.decode().catch(() => 0))"
    )


def keep(driver, name):
    driver.save_screenshot(str(IMAGES / f"{name}.png"))
    print(IMAGES / f"{name}.png")


def first_class(driver):
    """Click the most suspicious class, which selects its most suspicious cluster."""
    driver.find_element(By.CSS_SELECTOR, "#overview--rows > *").click()
    settle(driver)


def tab(driver, name):
    """Bring a lower panel to the front."""
    tabs = driver.find_elements(By.CSS_SELECTOR, ".lower-tab")
    next(tab for tab in tabs if tab.text == name).click()
    settle(driver, 2)


def click(driver, css, number=0):
    driver.find_elements(By.CSS_SELECTOR, css)[number].click()
    settle(driver, 2)


def panels(driver):
    """Every lower panel, and the wide overview."""
    click(driver, "#samples--view label", 1)
    keep(driver, "explorer-table")
    click(driver, "#samples--view label", 0)
    tab(driver, "Cluster cards")
    keep(driver, "explorer-cards")
    click(driver, ".cluster-card header > .btn", 0)
    click(driver, ".cluster-card header > .btn", 1)
    keep(driver, "explorer-versus")
    tab(driver, "Tags")
    keep(driver, "explorer-tags")
    tab(driver, "Compare")
    keep(driver, "explorer-compare")
    tab(driver, "Live")
    click(driver, "#live--use")
    settle(driver, 4)
    keep(driver, "explorer-live")
    click(driver, "#overview--widen")
    keep(driver, "explorer-scores")


def take(url, dark):
    driver = browser(dark)
    try:
        driver.get(url)
        settle(driver, 8)
        if not dark:
            keep(driver, "explorer-start")
        first_class(driver)
        keep(driver, "explorer-dark" if dark else "explorer")
        if not dark:
            driver.find_element(By.CSS_SELECTOR, ".thumbnail").click()
            settle(driver)
            keep(driver, "explorer-sample")
            click(driver, ".modal .btn-close")
            panels(driver)
        else:
            tab(driver, "Cluster cards")
            keep(driver, "explorer-cards-dark")
    finally:
        driver.quit()


if __name__ == "__main__":
    model = {"model": "backlight.app.demo:small_cnn", "weights": sys.argv[2]}
    with explore(sys.argv[1], **model) as explorer:
        for dark in (False, True):
            take(explorer.url, dark)
