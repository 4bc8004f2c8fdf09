"""Fixtures for the whole suite: fake distributions, and no silent skip where a browser is required."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import venvs
from backlight.core import registry

DISTS = Path(__file__).parent / "dists"

# How long an example takes says more about the machine than about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker is one core's worth of work; numeric libraries would start a thread per core in each.
    # Numba, when UMAP or descent first uses it, would also have PyTorch do so from then on.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

# A job in the background (`make test &`) ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Path]]:
    """Put folders on sys.path; forget whatever was imported from them when the test ends."""
    folders: list[str] = []
    monkeypatch.setattr(registry, "_default", None)  # what is installed changes

    def add(folder: Path) -> Path:
        monkeypatch.syspath_prepend(str(folder))
        folders.append(f"{folder}{os.sep}")
        return folder

    yield add
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and file.startswith(tuple(folders)):  # of thousands of modules, for hundreds of tests
            del sys.modules[name]


@pytest.fixture
def install(on_path: Callable[[Path], Path]) -> Callable[..., None]:
    """Make fake distributions of tests/dists visible to imports and importlib.metadata."""

    def add(*names: str) -> None:
        for name in names:
            assert (DISTS / name).is_dir(), name
            on_path(DISTS / name)

    return add


@pytest.fixture
def write_dist(tmp_path: Path, on_path: Callable[[Path], Path]) -> Callable[..., Path]:
    """Write a distribution with the given entry points (group -> lines) and modules, and make it visible."""

    def write(
        name: str,
        points: Mapping[str, str],
        modules: Mapping[str, str],
        version: str | None = "0.1",
        at: str = "",
    ) -> Path:
        folder = tmp_path / (at or name)
        info = folder / f"{name}-{version or 0}.dist-info"
        info.mkdir(parents=True)
        if version is not None:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"[{group}]\n{text}\n" for group, text in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        return on_path(folder)

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where a browser is required (in CI), a skipped browser test is a failed one."""
    report = yield
    wanted = item.get_closest_marker("browser") and os.environ.get("BACKLIGHT_REQUIRE_BROWSER")
    if wanted and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"browser test skipped where a browser is required: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def _example_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install examples/plugin into a folder, once."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(DISTS.parents[1] / "examples/plugin", folder / "source")
    venvs.install(Path(sys.executable), source, "--target", str(folder / "installed"))
    return folder / "installed"


@pytest.fixture
def example_plugin(_example_plugin: Path, on_path: Callable[[Path], Path]) -> Path:
    """Have examples/plugin installed beside Backlight."""
    return on_path(_example_plugin)
