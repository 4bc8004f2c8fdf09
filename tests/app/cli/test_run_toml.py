"""run.toml: one file describes a run; options win; what is wrong is named; a dry run writes nothing."""

import json
import tomllib

import pytest
from PIL import ExifTags, Image
from test_attribute import GOOD, call, place  # noqa: F401  # a fixture

from backlight.core.project import open_project
from backlight.core.run import verify
from backlight.core.run_config import FIELDS, Config, build_config, parse, read_config, to_toml

RUN = """
model = "net.py:net"
data = "pictures"
size = 8
out = "run"
mean = 0.5
std = [0.5, 0.5, 0.5]
batch-size = 2
shard-size = 2
"""


def test_a_file_alone_describes_a_run(place):  # noqa: F811
    (place / "run.toml").write_text(RUN)
    result = call("run.toml")
    assert result.exit_code == 0, result.output
    facts = json.loads((place / "run" / "run.json").read_text())
    assert facts["preprocessing"]["size"] == [8, 8]
    assert facts["preprocessing"]["std"] == [0.5, 0.5, 0.5]
    assert facts["config"]["batch-size"] == 2


def test_an_option_wins_over_its_key(place):  # noqa: F811
    (place / "run.toml").write_text(RUN)
    assert call("--config", "run.toml", "--composite", "epsilon", "--out", "other").exit_code == 0
    assert json.loads((place / "other" / "run.json").read_text())["composite"]["name"] == "epsilon"
    assert not (place / "run").exists()


def test_paths_count_from_the_folder_of_the_file(place, monkeypatch):  # noqa: F811
    (place / "run.toml").write_text(RUN)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert call("../run.toml").exit_code == 0
    assert (place / "run" / "project.yaml").is_file()


def test_the_copy_in_the_run_gives_the_same_run(place):  # noqa: F811
    assert call(*GOOD, "--name", 'with "quotes" – and ü').exit_code == 0
    before = (place / "run" / "run.json").read_bytes()
    result = call("run/run.toml")
    assert result.exit_code == 0, result.output
    assert "shards were there" in result.output
    assert (place / "run" / "run.json").read_bytes() == before
    with open_project(place / "run") as project:
        assert project.name == 'with "quotes" – and ü'
    assert verify(place / "run") == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("batchsize = 3", "unknown key 'batchsize'; did you mean 'batch-size'"),
        ('classes = "many"', "classes is 'many', expected a whole number"),
        ("download = 1", "download is 1, expected true or false"),
        ("failure-limit = 2", "failure-limit is 2, expected a number from 0 to 1"),
        ("layer = [1]", "expected a list of texts"),
        ("= 3", "is not valid TOML"),
        ('precision = "float8"', "unknown precision 'float8'; did you mean"),
        ('interpolation = "cubic"', "unknown interpolation 'cubic'; did you mean 'bicubic'"),
        ('split = "test"', "does not say which samples belong to which split"),
        ('only = ["catt"]', "unknown class 'catt'; did you mean 'cat'"),
        ('layer = ["9"]', "'9'"),
        ('device = "cuda:99"', "device 'cuda:99' cannot be used"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_and_nothing_written(place, line, sentence):  # noqa: F811
    (place / "run.toml").write_text(RUN + line)
    result = call("run.toml")
    assert result.exit_code == 2, result.output
    assert sentence in result.output
    assert not (place / "run").exists()


def test_a_run_without_what_it_needs_says_how_to_give_it(place):  # noqa: F811
    assert "a run needs 'model': give --model or the key" in call("--data", "pictures").output


def test_a_missing_file_and_two_files_are_refused(place):  # noqa: F811
    assert "none.toml does not exist" in call("none.toml").output
    assert "give one" in call("a.toml", "--config", "b.toml").output


def test_a_dry_run_tells_config_coverage_and_cost_and_writes_nothing(place):  # noqa: F811
    (place / "run.toml").write_text(RUN)
    before = sorted(place.rglob("*"))
    result = call("run.toml", "--dry-run")
    assert result.exit_code == 0, result.output
    for part in (
        "batch-size = 2",
        "canonizers: ",
        "batch-norm",
        "samples: 5 in 3 shards",
        "time: about",
        "disk: at most",
    ):
        assert part in result.output
    report = json.loads(call("run.toml", "--dry-run", "--json").output)
    assert report["coverage"]["counts"]["rule"] >= 2
    # relevance, prediction, conservation error, index, label and picture of 5 samples
    assert report["bytes"] == 5 * (3 * 64 * 4 + 2 * 4 + 4 + 4 + 2 + 3 * 64)
    assert sorted(p for p in place.rglob("*") if "__pycache__" not in p.parts) == before


def test_every_key_survives_the_way_through_a_file(tmp_path):
    samples = {"text": "x", "texts": ["a", "b"], "path": "p/q", "where": "w", "whole": 3, "share": 0.5}
    samples |= {"flag": True, "size": [4, 5], "channels": [0.1, 0.2, 0.3], "table": {"n": 2, "s": "x"}}
    given = {field.name: parse(key, samples[field.metadata["kind"]]) for key, field in FIELDS.items()}
    config = build_config(given)
    (tmp_path / "run.toml").write_text(to_toml(config, tmp_path))
    assert len(tomllib.loads(to_toml(config, tmp_path))) == len(FIELDS)
    again = build_config(read_config(tmp_path / "run.toml"))
    for field in FIELDS.values():
        if field.metadata["kind"] != "path":
            assert getattr(again, field.name) == getattr(config, field.name), field.name
    assert isinstance(again, Config)


def test_named_weights_bring_their_preprocessing_without_a_network(place):  # noqa: F811
    result = call("--model", "resnet18", "--weights", "DEFAULT", "--data", "pictures", "--out", "run")
    assert result.exit_code == 2 and "add --download to fetch them" in result.output
    from backlight.core.run.preparing import preprocessing

    found = preprocessing(Config(model="resnet18", weights="DEFAULT", data="pictures", out="run"))
    assert (found.size, found.resize, found.mean) == ((224, 224), 256, (0.485, 0.456, 0.406))
    result = call("--model", "resnet18", "--weights", "DEFALT", "--data", "pictures", "--out", "run")
    assert "did you mean 'DEFAULT'" in result.output


def test_progress_for_machines_and_for_nobody(place):  # noqa: F811
    lines = [json.loads(line) for line in call(*GOOD, "--shard-size", "2", "--json").output.splitlines()]
    assert [line["name"] for line in lines if "name" in line] == [f"shard {n} of 3" for n in (1, 2, 3)]
    assert lines[-1]["event"] == "finished" and lines[-1]["attributed"] == 5
    assert call(*GOOD, "--shard-size", "2", "--quiet").output == ""


def test_pictures_that_viewers_turn_are_told_of(place):  # noqa: F811
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 8
    Image.new("RGB", (12, 16)).save(place / "pictures/cat/0.png", exif=exif)
    for options in (["--dry-run"], []):
        assert "note: 1 of 5 pictures looked at carry an EXIF orientation" in call(*GOOD, *options).output
    assert call(*GOOD, "--out", "again", "--quiet").output == ""
