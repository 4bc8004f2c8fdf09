"""What goes wrong at night: kills at every step, a real full disk, NaN, datasets that raise, Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_attributing import SMALL, Pictures, content, network, run, same
from torch import nn

from backlight.core.errors import BacklightError, EngineError
from backlight.core.explainer import Explainer
from backlight.core.run import Settings, attribute_dataset, verify
from backlight.core.run.attributing import Stopped

HERE = str(Path(__file__).parent)
LENIENT = Settings(SMALL.preprocessing, batch_size=2, shard_size=4, failure_limit=0.5)

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_attributing as t

step, at = sys.argv[3], int(sys.argv[4])
replace, count = Path.replace, 0
def dying(self, target):
    global count
    if step in Path(target).as_posix():
        count += 1
        if count > at:
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = dying
t.run(Path(sys.argv[1]), config="[model]\\n")
"""


@pytest.mark.parametrize(
    ("step", "at"),
    [
        ("run.json", 0),
        ("run.toml", 0),
        ("/data/shard", 1),
        ("/attribution/shard", 1),
        ("/records/shard", 2),
        ("/data.h5", 0),
        ("/attribution.h5", 0),
        ("labels.json", 0),
        ("project.yaml", 0),
    ],
)
def test_killed_before_any_file_appears_the_run_continues_to_the_same_data(tmp_path, step, at):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run"), HERE, step, str(at)]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    assert list((tmp_path / "run").rglob(".*.part"))
    assert not (tmp_path / "run" / "project.yaml").exists()
    run(tmp_path / "run", config="[model]\n")
    run(tmp_path / "undisturbed", config="[model]\n")
    same(content(tmp_path / "run"), content(tmp_path / "undisturbed"))
    for path in (tmp_path / "undisturbed").rglob("shard-*.*"):
        assert (
            path.read_bytes() == (tmp_path / "run" / path.relative_to(tmp_path / "undisturbed")).read_bytes()
        )
    assert verify(tmp_path / "run") == []
    assert not list((tmp_path / "run").rglob(".*.part"))


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_attributing as t
from backlight.core.errors import BacklightError

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    t.run(Path(sys.argv[1]))
except BacklightError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("limit", [3000, 9000])
def test_a_disk_that_takes_no_more_ends_in_a_sentence(tmp_path, limit):
    command = [sys.executable, "-c", FULL, str(tmp_path / "run"), HERE, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "cannot write" in done.stdout
    assert not list((tmp_path / "run").rglob(".*.part"))
    run(tmp_path / "run")
    run(tmp_path / "undisturbed")
    same(content(tmp_path / "run"), content(tmp_path / "undisturbed"))


class Fragile(nn.Module):
    """Divides by how far the mean is from that of one picture, for which it is 0/0."""

    def __init__(self, poison):
        super().__init__()
        self.net, self.poison = network(), poison

    def forward(self, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        return self.net(x) * torch.where((mean - self.poison).abs() < 1e-7, torch.nan, 1.0).flatten(1)


def test_a_sample_without_finite_relevance_is_left_out_and_the_operation_named(tmp_path):
    source = Pictures()
    poison = float(SMALL.preprocessing.inputs(source.picture(5)[None]).mean())
    explainer = Explainer(Fragile(poison), composite="epsilon")
    done = attribute_dataset(explainer, source, tmp_path / "run", LENIENT)
    assert list(done.failures) == [5]
    assert "NaN" in done.failures[5] and "mul" in done.failures[5]
    with pytest.raises(BacklightError, match="1 of 10 samples could not be read or explained"):
        attribute_dataset(explainer, source, tmp_path / "strict", SMALL)


def test_a_model_that_gives_nan_for_all_is_refused(tmp_path):
    class Nan(nn.Module):
        def forward(self, x):
            return network()(x) * torch.nan

    with pytest.raises(EngineError, match="NaN"):
        attribute_dataset(Explainer(Nan(), composite="epsilon"), Pictures(), tmp_path / "run", LENIENT)
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_raises_costs_one_sample(tmp_path):
    class Raising(Pictures):
        def picture(self, number):
            if number == 3:
                raise KeyError("no such key")
            return super().picture(number)

    done = run(tmp_path / "run", Raising(), settings=LENIENT)
    assert done.failures == {3: "reading raised KeyError: 'no such key'"}


def test_float16_that_overflows_is_a_named_failure(tmp_path):
    from backlight.core.run import Output

    model = network()
    with torch.no_grad():
        model[-1].weight.mul_(1e7)
    settings = Settings(SMALL.preprocessing, failure_limit=1.0, output=Output(precision="float16"))
    with pytest.raises(BacklightError, match="does not fit float16"):
        attribute_dataset(Explainer(model, composite="epsilon"), Pictures(), tmp_path / "run", settings)


def test_a_stop_ends_after_a_whole_shard_and_the_same_call_continues(tmp_path):
    stop = threading.Event()

    def report(done, total, name, failed):
        if done >= 4:
            stop.set()

    with pytest.raises(Stopped, match=r"of 3 shards done in .*; the same command continues"):
        attribute_dataset(
            Explainer(network(), composite="epsilon"),
            Pictures(),
            tmp_path / "run",
            SMALL,
            progress=report,
            stop=stop,
        )
    assert 1 <= len(list((tmp_path / "run/records").iterdir())) < 3
    assert not list((tmp_path / "run").rglob(".*.part"))
    run(tmp_path / "run")
    assert verify(tmp_path / "run") == []


SLOW = """
import time
import numpy as np
class Slow:
    classes = ["a", "b"]
    targets = [n % 2 for n in range(60)]
    def __len__(self): return 60
    def __getitem__(self, i):
        time.sleep(0.05)
        return np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8), i % 2
"""


@pytest.fixture
def slow(tmp_path):
    """Return a command whose run takes a while, to be given in `tmp_path`."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )
    command = [
        sys.executable,
        "-m",
        "backlight",
        "attribute",
        "--model",
        "net.py:net",
        "--data",
        "slow.py:Slow",
    ]
    return [*command, "--out", "run", "--batch-size", "2", "--shard-size", "4", "--decoders", "1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_on_the_command_line_ends_cleanly_with_130(tmp_path, slow, number):
    process = subprocess.Popen(slow, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/records/shard-00000.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Stopping after the shard in flight" in said
    assert "the same command continues" in said
    assert not list((tmp_path / "run").rglob(".*.part"))
    records = len(list((tmp_path / "run/records").iterdir()))
    assert 1 <= records < 15
    assert subprocess.run([*slow, "--quiet"], cwd=tmp_path, timeout=120).returncode == 0
    assert verify(tmp_path / "run") == []
    assert np.isfinite(content(tmp_path / "run")["attribution.h5/attribution"]).all()


def test_a_second_command_is_refused_while_the_first_works_on(tmp_path, slow):
    command = [*slow, "--quiet"]
    first = subprocess.Popen(command, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/.lock").exists():
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGSTOP)  # it holds the run however slowly the second one starts
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2 and "another process is writing" in second.stderr, second.stderr
    assert first.wait(120) == 0
    assert verify(tmp_path / "run") == []
