"""The start-up budget: what must feel instant imports few modules; seconds are in benchmarks."""

import subprocess
import sys

import pytest

BUDGET = 250
"""Modules beyond those that a bare interpreter imports; one costs about 0.3 ms of processor time."""


def imported(*arguments):
    """Return the modules that a fresh interpreter imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture(scope="module")
def bare():
    return imported("-c", "pass")


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import backlight"),
        ("-m", "backlight", "--version"),
        ("-m", "backlight", "--help"),
        ("-m", "backlight", "plugins"),
        ("-m", "backlight", "plugins", "new", "--help"),
        ("-m", "backlight", "attribute", "--help"),
    ],
    ids=" ".join,
)
def test_it_stays_within_the_budget(arguments, bare):
    loaded = imported(*arguments) - bare
    assert "backlight" in loaded
    assert len(loaded) < BUDGET


def test_the_count_sees_what_is_imported(bare):
    assert {"json", "json.decoder"} <= imported("-c", "import json") - bare
