"""Commands in a process of their own, forked from one that has imported torch already.

Starting Python and importing torch takes longer than most commands of the documentation do.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

import venvs

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["torchvision", "sklearn.manifold", "backlight.core.run", "backlight.core.analysis"]
)


def run(command: list[str], folder: Path, timeout: float = 240, *, ends_well: bool = True) -> str:
    """Run `backlight`, or a script of Python, as `venvs.run` does. command: begins with either's name."""
    with tempfile.NamedTemporaryFile() as output:
        process = _FORKS.Process(target=_run, args=(command, folder, output.name))
        process.start()
        process.join(timeout)
        done = process.exitcode
        process.kill()
        process.join()
        told = output.read().decode()
    assert done == 0 or (done is not None and not ends_well), f"{' '.join(command)}\n{told}"
    return told


def _run(command: list[str], folder: Path, output: str) -> None:
    os.environ.clear()
    os.environ.update(venvs.ONE_THREAD)
    os.chdir(folder)
    target = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(target, stream)
    sys.argv = command
    sys.path[:0] = [str(folder)]
    if command[0] == "backlight":
        runpy.run_module("backlight", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(command[0], run_name="__main__")
