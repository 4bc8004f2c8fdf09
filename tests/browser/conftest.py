"""A real headless Chromium and a served explorer."""

import shutil

import pytest
from explorer_page import Page
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from backlight.app.web import explore
from synthetic_run import write_run

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)


@pytest.fixture(scope="session")
def chromium():
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.set_script_timeout(30)
    yield started
    started.quit()


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run")).parent


@pytest.fixture
def served(chromium):
    """Serve a project (path or open project) with the installed panels, and look at it."""
    opened = []

    def look(project, **settings):
        opened.append(explore(project, **settings))
        return Page(chromium, opened[-1])

    yield look
    chromium.get("about:blank")  # a page whose server is gone complains in the next test's log
    for explorer in opened:
        explorer.close()
        explorer.project.close()


@pytest.fixture
def page(served, run):
    found = served(run)
    found.drawn()
    return found
