"""A run: complete, resumable, byte-equal after a kill, refused when it would mix two."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from backlight.core.errors import BacklightError, FormatError, RequestError
from backlight.core.explainer import Explainer
from backlight.core.project import open_project
from backlight.core.run import Settings, attribute_dataset, verify
from backlight.core.sources.data import Source
from backlight.core.sources.preprocessing import Preprocessing


@dataclass
class Pictures(Source):
    """Random pictures; those in `broken` cannot be read."""

    n: int = 10
    broken: tuple[int, ...] = ()
    name: str = "random"
    classes: tuple[str, ...] = ("cat", "dog")
    sizes: dict = field(default_factory=dict)

    def __len__(self):
        return self.n

    def picture(self, number):
        if number in self.broken:
            raise FormatError(f"picture {number} is broken")
        side = self.sizes.get(number, 8)
        return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)

    def label(self, number):
        return number % 2

    def training(self, number):
        return number < 7


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2)).eval()


SMALL = Settings(Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3), batch_size=2, shard_size=4)


def run(root, source=None, seed=0, settings=SMALL, **options):
    return attribute_dataset(
        Explainer(network(seed), composite="epsilon"),
        Pictures() if source is None else source,
        root,
        settings,
        **options,
    )


def content(root):
    """Every dataset of the joined files, by name."""
    found = {}
    for name in ("data.h5", "attribution.h5"):
        with h5py.File(root / name) as file:
            found |= {f"{name}/{key}": item[()] for key, item in file.items()}
    return found


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_rows_hold_what_explaining_the_samples_by_hand_gives(tmp_path):
    source = Pictures()
    run(tmp_path / "run", source)
    explainer = Explainer(network(), composite="epsilon")
    with open_project(tmp_path / "run") as project:
        for number in (0, 3, 9):
            inputs = SMALL.preprocessing.inputs(source.picture(number)[None])
            by_hand = explainer.explain(inputs, number % 2)
            np.testing.assert_allclose(
                project.attributions.relevance(number), by_hand.relevance[0].numpy(), rtol=1e-4, atol=1e-6
            )
            np.testing.assert_array_equal(project.dataset.image(number), source.picture(number))
        assert project.dataset.labels.tolist() == [n % 2 for n in range(10)]
        assert project.attributions.training(np.arange(10)).tolist() == [n < 7 for n in range(10)]


def test_the_run_directory_says_where_it_came_from(tmp_path):
    run(tmp_path / "run", described={"model": "mine:net"})
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["model"] == "mine:net"
    assert facts["composite"]["name"] == "epsilon"
    assert len(facts["weights"]) == 64
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0] or facts["versions"]["torch"]


def test_a_second_run_recomputes_nothing_and_keeps_analyses(tmp_path):
    run(tmp_path / "run")
    shards = sorted((tmp_path / "run" / "attribution").iterdir())
    stamps = [s.stat().st_mtime_ns for s in shards]
    run(tmp_path / "run")
    assert [s.stat().st_mtime_ns for s in shards] == stamps


def test_a_missing_shard_alone_is_made_again(tmp_path):
    run(tmp_path / "run")
    before = content(tmp_path / "run")
    (tmp_path / "run" / "attribution" / "shard-00001.h5").unlink()
    run(tmp_path / "run")
    same(before, content(tmp_path / "run"))


@pytest.mark.parametrize("what", ["weights", "data", "settings"])
def test_another_run_in_the_same_folder_is_refused_by_name(tmp_path, what):
    run(tmp_path / "run")
    before = content(tmp_path / "run")
    with pytest.raises(
        RequestError, match={"weights": "weights", "data": "samples", "settings": "shard_size"}[what]
    ):
        run(
            tmp_path / "run",
            Pictures(n=9) if what == "data" else None,
            seed=1 if what == "weights" else 0,
            settings=Settings(SMALL.preprocessing, shard_size=5) if what == "settings" else SMALL,
        )
    same(before, content(tmp_path / "run"))


def test_another_model_with_the_same_weights_is_refused(tmp_path):
    def attributed(activation):
        model = network()
        model[1] = activation
        attribute_dataset(Explainer(model, composite="epsilon"), Pictures(), tmp_path / "run", SMALL)

    attributed(nn.Softplus(beta=20.0))
    with pytest.raises(RequestError, match="holds another run: architecture changed"):
        attributed(nn.Softplus(beta=10.0))
    attributed(nn.Softplus(beta=20.0))


def test_a_folder_with_other_things_in_it_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="not empty and no run"):
        run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RequestError, match="is a file"):
        run(tmp_path / "run")


def test_a_model_that_cannot_be_explained_leaves_no_folder(tmp_path):
    class Argmax(nn.Module):
        def forward(self, x):
            return x.flatten(1).argmax(1, keepdim=True).float()

    with pytest.raises(RequestError, match="does not depend differentiably on the input"):
        attribute_dataset(Explainer(Argmax(), composite="epsilon"), Pictures(), tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_left_out_and_named(tmp_path):
    settings = Settings(SMALL.preprocessing, batch_size=2, shard_size=4, failure_limit=0.3)
    done = run(tmp_path / "run", Pictures(broken=(0, 5)), settings=settings)
    assert done.attributed == 8
    assert done.failures == {0: "picture 0 is broken", 5: "picture 5 is broken"}
    with open_project(tmp_path / "run") as project:
        assert project.attributions.indices.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
        np.testing.assert_array_equal(project.dataset.image(6), Pictures().picture(6))


def test_more_unreadable_pictures_than_the_limit_stop_the_run(tmp_path):
    with pytest.raises(BacklightError, match="2 of 10 samples could not be read or explained"):
        run(tmp_path / "run", Pictures(broken=(0, 5)))


def test_a_source_without_a_readable_picture_is_refused(tmp_path):
    with pytest.raises(RequestError, match="none of the 10 samples"):
        run(tmp_path / "run", Pictures(broken=tuple(range(10))))
    assert not (tmp_path / "run").exists()


def test_pictures_of_two_sizes_need_a_size(tmp_path):
    with pytest.raises(RequestError, match=r"2 sizes.*--size"):
        run(tmp_path / "run", Pictures(sizes={1: 9}))
    sized = replace(SMALL, preprocessing=replace(SMALL.preprocessing, size=(8, 8)))
    run(tmp_path / "run", Pictures(sizes={1: 9}), settings=sized)  # in the folder that came to nothing
    assert json.loads((tmp_path / "run/run.json").read_text())["preprocessing"]["size"] == [8, 8]
    assert verify(tmp_path / "run") == []


def test_an_empty_source_is_refused(tmp_path):
    with pytest.raises(RequestError, match="is empty"):
        run(tmp_path / "run", Pictures(n=0))


def test_two_writers_of_one_run_are_refused(tmp_path):
    import fcntl

    run(tmp_path / "run")
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RequestError, match="another process is writing"):
            run(tmp_path / "run")


SLOW_RUN = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_attributing as t

class Slow(t.Pictures):
    def picture(self, number):
        time.sleep(0.05)
        return super().picture(number)

t.run(Path(sys.argv[1]), Slow(n=40))
"""


def test_killed_in_the_middle_then_resumed_gives_the_undisturbed_data(tmp_path):
    command = [sys.executable, "-c", SLOW_RUN, str(tmp_path / "run"), str(Path(__file__).parent)]
    process = subprocess.Popen(command)
    shards = tmp_path / "run" / "attribution"
    deadline = time.monotonic() + 120
    while not (shards.is_dir() and len(list(shards.glob("shard-*.h5"))) >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(shards.glob("shard-*.h5")))
    assert 2 <= done < 10
    assert not (tmp_path / "run" / "project.yaml").exists()
    run(tmp_path / "run", Pictures(n=40))
    run(tmp_path / "undisturbed", Pictures(n=40))
    same(content(tmp_path / "run"), content(tmp_path / "undisturbed"))
    assert not list((tmp_path / "run").rglob(".*.part"))


def test_a_full_disk_keeps_finished_shards_and_leaves_no_half_file(tmp_path, monkeypatch):
    written = []
    original = h5py.Group.create_dataset

    def full(self, name, *args, **kwargs):
        if name == "attribution" and len(written) == 1:
            raise OSError(28, "No space left on device")
        if name == "attribution":
            written.append(name)
        return original(self, name, *args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(BacklightError, match="No space left"):
        run(tmp_path / "run")
    monkeypatch.undo()
    assert [p.name for p in sorted((tmp_path / "run" / "attribution").iterdir())] == ["shard-00000.h5"]
    run(tmp_path / "run")
    run(tmp_path / "undisturbed")
    same(content(tmp_path / "run"), content(tmp_path / "undisturbed"))


def test_a_plain_gradient_has_no_conservation_error(tmp_path):
    done = attribute_dataset(Explainer(network()), Pictures(), tmp_path / "run", SMALL)
    assert np.isnan(done.conservation_error)


def test_the_predicted_class_can_be_explained(tmp_path):
    settings = Settings(SMALL.preprocessing, target="predicted")
    run(tmp_path / "run", settings=settings)
    with open_project(tmp_path / "run") as project:
        assert project.attribution_strategy == "predicted_label"


@pytest.mark.parametrize(("target", "asked"), [("1", 1), ("contrastive", "contrastive")])
def test_one_class_or_a_contrast_can_be_explained(tmp_path, target, asked):
    source, explainer = Pictures(), Explainer(network(), composite="epsilon")
    run(tmp_path / "run", source, settings=replace(SMALL, target=target))
    with open_project(tmp_path / "run") as project:
        assert project.attribution_strategy == f"{target}_label"
        for number in (0, 3):
            by_hand = explainer.explain(SMALL.preprocessing.inputs(source.picture(number)[None]), asked)
            found = project.attributions.relevance(number)
            np.testing.assert_allclose(found, by_hand.relevance[0].numpy(), rtol=1e-4, atol=1e-6)
            with h5py.File(tmp_path / "run" / "attribution.h5") as file:
                error = file["conservation_error"][number]
            assert error == pytest.approx(abs(found.sum() / float(by_hand.value) - 1), rel=1e-2)


def test_a_class_that_the_model_lacks_is_named(tmp_path):
    with pytest.raises(RequestError, match="names class 7, but the model has 2 outputs"):
        run(tmp_path / "run", settings=replace(SMALL, target="7"))


@pytest.mark.parametrize("several", ["top-3", "all", "0,1"])
def test_a_run_holds_one_explanation_per_sample(several):
    with pytest.raises(RequestError, match="expected one explanation per sample: true, predicted, contrast"):
        Settings(target=several)


@pytest.mark.parametrize("wrong", [{"target": "other"}, {"batch_size": 0}, {"shard_size": 0}])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(RequestError, match=str(next(iter(wrong.values())))):
        Settings(**wrong)
