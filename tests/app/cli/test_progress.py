"""Progress as people and machines see it: a bar on a terminal, lines elsewhere, JSON, or nothing."""

import json
import os
import pty
import re
import subprocess
import sys

from test_attribute import GOOD, call, place  # noqa: F401  # a fixture

from backlight.app.cli import progress
from backlight.app.cli.progress import Pace


def test_a_pace_leaves_out_what_was_there_before(monkeypatch):
    clock = iter([10.0, 12.0, 15.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    pace = Pace()
    pace.tell(40)
    assert (pace.rate, pace.left(100)) == ("", 0)
    pace.tell(44)
    assert (pace.rate, pace.left(100)) == ("2.0/s", 28)
    pace.tell(50)
    assert (pace.rate, pace.left(50)) == ("2.0/s", 0)


def test_plain_lines_tell_rate_time_left_and_failures(place):  # noqa: F811
    (place / "pictures" / "cat" / "1.png").write_bytes(b"no picture")
    result = call(*GOOD, "--shard-size", "2", "--batch-size", "2", "--failure-limit", "0.5")
    lines = [line for line in result.stderr.splitlines() if line.startswith("Attributing")]
    assert len(lines) == 3
    assert lines[0].startswith("Attributing 2/5: shard 1 of 3 (1 failed)")
    pace = re.escape("Attributing 4/5: shard 2 of 3 (1 failed), ") + r"\d+\.\d/s, about \d+ s left"
    assert re.fullmatch(pace, lines[1])
    assert lines[2] == "Attributing 5/5: shard 3 of 3 (1 failed)"


def test_failures_of_an_earlier_call_are_counted_again(place):  # noqa: F811
    (place / "pictures" / "cat" / "1.png").write_bytes(b"no picture")
    first = call(*GOOD, "--shard-size", "2", "--failure-limit", "0.5")
    again = call(*GOOD, "--shard-size", "2", "--failure-limit", "0.5", "--json")
    assert first.exit_code == again.exit_code == 0
    told, finished = map(json.loads, again.stdout.splitlines())
    assert (told["name"], told["failed"]) == ("3 of 3 shards were there", 1)
    assert list(finished["failures"]) == ["1"]


def test_machines_are_told_how_many_failed_so_far(place):  # noqa: F811
    for broken in ("cat/1.png", "dog/4.png"):
        (place / "pictures" / broken).write_bytes(b"no picture")
    result = call(*GOOD, "--shard-size", "2", "--failure-limit", "0.5", "--json")
    *told, finished = map(json.loads, result.stdout.splitlines())
    assert {line["name"]: line["failed"] for line in told if "name" in line} == {
        "shard 1 of 3": 1,
        "shard 2 of 3": 1,
        "shard 3 of 3": 2,
    }
    assert list(finished["failures"]) == ["1", "4"]


def test_a_terminal_gets_a_bar_with_rate_and_time_left(place):  # noqa: F811
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "backlight",
        "attribute",
        *GOOD,
        "--batch-size",
        "1",
        "--shard-size",
        "2",
    ]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # how Linux says that the other end was closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and b"5 samples attributed" in said, shown
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"Attributing shard \d of 3 .*\d/5", text)
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in text and "/s" in text and re.search(r"\d:\d\d:\d\d", text)
