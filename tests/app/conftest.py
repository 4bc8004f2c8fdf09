"""A run directory on disk, and the application that serves it, without a browser."""

import pytest

from backlight.app.web import make_app
from backlight.core.project import open_project
from synthetic_run import write_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run").parent


@pytest.fixture
def project(run):
    with open_project(run) as opened:
        yield opened


@pytest.fixture
def client(project):
    return make_app([project], panels=[]).server.test_client()
