"""The start-up budget: what must feel instant takes at most 0.3 s of processor time."""

import os
import subprocess
import sys

import pytest

BUDGET = 0.3
TRIES = 5


def processor_seconds(arguments):
    """Return the processor time of one fresh interpreter; unlike wall time, other work does not add to it."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import backlight"),
        ("-m", "backlight", "--version"),
        ("-m", "backlight", "--help"),
        ("-m", "backlight", "plugins"),
        ("-m", "backlight", "plugins", "new", "--help"),
    ],
    ids=" ".join,
)
def test_it_stays_within_the_budget(arguments):
    assert min(processor_seconds(arguments) for _ in range(TRIES)) < BUDGET
