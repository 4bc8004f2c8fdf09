"""A panel's context over the synthetic run."""

import pytest

from backlight.core.panel import PanelContext
from backlight.core.project import open_project
from synthetic_run import write_run


@pytest.fixture
def context(tmp_path):
    with open_project(write_run(tmp_path / "run")) as project:
        yield PanelContext("panel", {project.name: project})


@pytest.fixture
def dog(context):
    return context.category("pets", "spray", "dog")
