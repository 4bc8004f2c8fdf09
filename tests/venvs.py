"""Fresh virtual environments that see the packages this suite runs with, and pip for them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

_OURS = ("PYTEST", "PYTHONPATH", "COV_", "BACKLIGHT_")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
ONE_THREAD = {**CLEAN, "OMP_NUM_THREADS": "1"}


def make(folder: Path) -> Path:
    """Create an environment that also sees our site-packages; return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (own,) = folder.glob("lib/python*/site-packages")
    # A plain path in a .pth file would not process the .pth files there, such as that of an editable install.
    (own / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return python


def install(python: Path, source: Path, *options: str) -> None:
    """Install a package into the environment from its source, without the network."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    run([*pip, "--disable-pip-version-check", "--no-build-isolation", *options, str(source)])


def run(command: list[str], cwd: Path | None = None, timeout: float = 240, *, ends_well: bool = True) -> str:
    """Run a command; return what it printed, or fail with it unless it need not end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0 or not ends_well, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout
