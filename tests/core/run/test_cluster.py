"""A real scheduler and two workers on loopback; one is killed; the bytes are those of a single process."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from test_attributing import content, same

from backlight.core.errors import RequestError
from backlight.core.run import attribute_dataset, verify
from backlight.core.run.cluster import shards_on
from backlight.core.run.preparing import prepare
from backlight.core.run_config import Config, to_toml

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

FILES = """
import time
import numpy as np
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
class Slow:
    classes = ["a", "b"]
    targets = [n % 2 for n in range(48)]
    def __len__(self): return 48
    def __getitem__(self, i):
        time.sleep(0.05)
        return np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8), i % 2
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FILES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(out, cluster=None):
    return Config(
        model="mine.py:net",
        data="mine.py:Slow",
        out=out,
        batch_size=2,
        shard_size=4,
        decoders=1,
        cluster=cluster,
    )


def attributed(wanted, progress=None):
    import contextlib
    from pathlib import Path

    ready, stop = prepare(wanted), threading.Event()
    with shards_on(wanted, stop) if wanted.cluster else contextlib.nullcontext() as elsewhere:
        attribute_dataset(
            ready.explainer,
            ready.source,
            Path(wanted.out),
            ready.settings,
            described=ready.described,
            config=to_toml(wanted, Path(wanted.out)),
            progress=progress,
            elsewhere=elsewhere,
        )


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler and two workers; yield the address and the processes of the workers."""
    code = (
        "import distributed, sys, time\n"
        "from distributed.cli.{0} import main\n"
        "sys.exit(main(sys.argv[1:], standalone_mode=True))"
    )
    log = tmp_path / "cluster.log"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(kind, *arguments):
        command = [sys.executable, "-c", code.format(kind), *arguments]
        with log.open("a") as file:
            return subprocess.Popen(command, stderr=file, env=environment)

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    deadline = time.monotonic() + 60
    while not (found := re.search(r"Scheduler at:\s+(\S+)\n", log.read_text())):
        assert scheduler.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    address = found[1]
    workers = [
        start(
            "dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"
        )
        for _ in range(2)
    ]
    yield address, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


@pytest.mark.slow  # starts three Python processes that import torch
def test_a_worker_killed_in_the_middle_loses_nothing(place, cluster):
    address, workers = cluster
    killed = []

    def kill_one(done, total, name, failed):
        if name and done >= 8 and not killed:
            killed.append(time.monotonic())
            workers[0].send_signal(signal.SIGKILL)

    attributed(config("far", address), kill_one)
    assert killed and workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    assert verify(place / "far") == []
    attributed(config("near"))
    same(content(place / "far"), content(place / "near"))
    for path in sorted((place / "near").rglob("shard-*.h5")):
        assert path.read_bytes() == (place / "far" / path.relative_to(place / "near")).read_bytes(), path


@pytest.mark.slow  # starts two Python processes that import torch
def test_workers_of_this_machine(place):
    command = [
        sys.executable,
        "-m",
        "backlight",
        "attribute",
        "--model",
        "mine.py:net",
        "--data",
        "mine.py:Slow",
    ]
    command += ["--out", "run", "--shard-size", "12", "--cluster", "local:2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "48 samples attributed" in done.stdout
    assert verify(place / "run") == []


@pytest.mark.slow  # starts three Python processes that import torch
def test_ctrl_c_in_a_terminal_ends_after_the_shards_in_flight_and_the_same_command_continues(place):
    """A terminal sends the signal to every process of the command, workers included."""
    command = [
        sys.executable,
        "-m",
        "backlight",
        "attribute",
        "--model",
        "mine.py:net",
        "--data",
        "mine.py:Slow",
    ]
    command += ["--out", "run", "--batch-size", "2", "--shard-size", "4", "--decoders", "1"]
    process = subprocess.Popen(
        [*command, "--cluster", "local:2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((place / "run/records").glob("*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Stopping after the shard in flight" in said and "the same command continues" in said
    assert "Traceback" not in said and "distributed." not in said, said
    assert not list((place / "run").rglob(".*.part"))
    assert 1 <= len(list((place / "run/records").iterdir())) < 12
    assert subprocess.run([*command, "--quiet"], timeout=120).returncode == 0
    assert verify(place / "run") == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("local:0", "expected e.g. local:2"), ("tcp://127.0.0.1:1", "no dask scheduler answers")],
)
def test_a_cluster_that_is_not_there_is_said_in_a_sentence(place, address, sentence):

    with pytest.raises(RequestError, match=sentence), shards_on(config("run", address), threading.Event()):
        pass
