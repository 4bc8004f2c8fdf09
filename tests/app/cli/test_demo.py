"""The demo's steps: whatever class is drawn is found. tests/test_distribution.py runs the command."""

import random

import numpy as np
import pytest

from backlight.app import demo
from backlight.core.analysis import analyze
from backlight.core.explainer import Explainer
from backlight.core.run import Settings, attribute_dataset


def run(folder, seed, victim=None):
    source = demo.poison("digits", *demo.digits(), seed=seed, victim=victim)
    model = demo.train(source, seed)
    explainer = Explainer(model, composite="epsilon-plus")
    attribute_dataset(explainer, source, folder, Settings(demo.PREPROCESSING, batch_size=128))
    return source, demo.judge(folder, source, analyze(folder, seed=seed))


@pytest.mark.slow  # trains a network and analyses ten classes
@pytest.mark.parametrize("draw", [1, 2])
def test_a_drawn_class_ranks_first_and_its_cluster_isolates_the_poison(tmp_path, draw):
    drawn = random.Random(draw)
    victim, seed = drawn.randrange(10), drawn.randrange(10**6)
    source, verdict = run(tmp_path / "run", seed, victim)
    assert source.victim == victim
    assert verdict.rank == 1
    assert verdict.f1 >= 0.9


def test_the_seed_draws_class_and_samples():
    drawn = [demo.poison("digits", *demo.digits(), seed=seed) for seed in range(6)]
    assert len({source.victim for source in drawn}) > 1
    for source in drawn:
        victims = (source.labels == source.victim) & source.train
        assert source.poisoned.sum() == victims.sum() // 2
        assert not (source.poisoned & ~victims).any()


def test_only_the_corner_of_poisoned_pictures_is_painted():
    pictures, labels, names = demo.digits()
    source = demo.poison("digits", pictures, labels, names, seed=3)
    changed = (source.pictures != pictures).any(3)
    assert not changed[~source.poisoned].any()
    assert not changed[:, 5:].any() and not changed[:, :, 5:].any()
    assert np.isin(source.pictures[source.poisoned][:, 1:4, 1:4], 255).all()


def test_without_a_network_cifar10_is_refused_in_a_sentence(tmp_path, monkeypatch):
    import urllib.request

    from click.testing import CliRunner

    from backlight.app.cli import main

    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    result = CliRunner().invoke(
        main, ["demo", "--dataset", "cifar10", "--no-explore", "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "dataset 'cifar10' cannot be downloaded" in result.output
    assert "Traceback" not in result.output
