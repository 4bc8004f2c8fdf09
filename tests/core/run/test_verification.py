"""`verify` names every shard that is missing, truncated, changed or strange, and a config that was edited."""

import json

import pytest
from click.testing import CliRunner
from test_attributing import SMALL, Pictures, network

from backlight.app.cli import main
from backlight.core.explainer import Explainer
from backlight.core.run import attribute_dataset, verify
from backlight.core.run.identity import digest_json


@pytest.fixture
def root(tmp_path):
    config = {"model": "mine", "batch-size": 2}
    attribute_dataset(
        Explainer(network(), composite="epsilon"),
        Pictures(),
        tmp_path / "run",
        SMALL,
        described={"config": config, "config_digest": digest_json(config)},
        config='model = "mine"\nbatch-size = 2\n',
    )
    return tmp_path / "run"


def call(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def flip(path, position=-100):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit(path, change):
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_a_fresh_run_has_no_problem(root):
    assert verify(root) == []
    result = call(root)
    assert result.exit_code == 0 and "is complete and unchanged" in result.output


DAMAGE = {
    "one bit of a shard": (
        lambda r: flip(r / "attribution/shard-00001.h5"),
        "attribution/shard-00001.h5: changed",
    ),
    "one bit of pictures": (lambda r: flip(r / "data/shard-00002.h5"), "data/shard-00002.h5: changed"),
    "a truncated shard": (
        lambda r: (r / "data/shard-00000.h5").write_bytes((r / "data/shard-00000.h5").read_bytes()[:-7]),
        "data/shard-00000.h5: truncated",
    ),
    "a missing shard": (lambda r: (r / "attribution/shard-00002.h5").unlink(), "shard-00002.h5: missing"),
    "a missing record": (lambda r: (r / "records/shard-00001.json").unlink(), "shard-00001.json: missing"),
    "a broken record": (
        lambda r: (r / "records/shard-00001.json").write_text("{"),
        "is no record of a shard",
    ),
    "a record of another run": (
        lambda r: edit(r / "records/shard-00001.json", lambda f: f.update(run="x")),
        "belongs to another run",
    ),
    "a shard too many": (lambda r: (r / "data/shard-00003.h5").write_bytes(b""), "is no shard of this run"),
    "an edited run.json": (
        lambda r: edit(r / "run.json", lambda f: f.update(target="predicted")),
        "another run",
    ),
    "an edited config": (lambda r: (r / "run.toml").write_text('model = "other"\n'), "in batch-size, model"),
    "an edited digest": (lambda r: edit(r / "run.json", lambda f: f["config"].update(x=1)), "config_digest"),
    "no config": (lambda r: (r / "run.toml").unlink(), "run.toml: missing"),
    "no joined file": (lambda r: (r / "data.h5").unlink(), "data.h5: "),
    "no project": (lambda r: (r / "project.yaml").unlink(), "project.yaml: "),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named_and_ends_with_code_1(root, what):
    damage, sentence = DAMAGE[what]
    damage(root)
    result = call(root)
    assert result.exit_code == 1, result.output
    assert sentence in result.output
    assert not result.exception or isinstance(result.exception, SystemExit)


def test_a_joined_file_that_lacks_rows_is_named(root):
    import h5py

    with h5py.File(root / "attribution.h5", "a") as file:
        values = file["index"][:-1]
        del file["index"]
        file["index"] = values
    assert [str(p) for p in verify(root)] == ["attribution.h5: 'index' has 9 rows, its shards have 10"]


def test_problems_as_json(root):
    (root / "data/shard-00001.h5").unlink()
    result = call(root, "--json")
    last = json.loads(result.output.splitlines()[-1])
    assert last["problems"] == [{"file": "data/shard-00001.h5", "what": "missing"}]


@pytest.mark.parametrize("what", ["nothing", "no json", "no run"])
def test_what_is_no_run_ends_with_code_2(tmp_path, what):
    if what != "nothing":
        (tmp_path / "run.json").write_text("{" if what == "no json" else "{}")
    result = call(tmp_path)
    assert result.exit_code == 2, result.output
    assert "run.json" in result.output and "Traceback" not in result.output


def test_the_same_command_mends_what_size_tells(root):
    (root / "data/shard-00001.h5").write_bytes(b"short")
    (root / "run.toml").unlink()
    attribute_dataset(Explainer(network(), composite="epsilon"), Pictures(), root, SMALL)
    assert verify(root) == []
