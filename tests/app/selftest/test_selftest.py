"""The self-test: its measures against loops, what it plants, and the whole of it on small pictures."""

import csv
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from backlight.app.selftest import measures
from backlight.app.selftest.artefacts import ARTEFACTS
from backlight.app.selftest.outcome import scatter, sentence, table, verdict
from backlight.app.selftest.pictures import pair
from backlight.app.selftest.trial import Seen, Trial
from backlight.core.errors import RequestError
from backlight.core.sources.data import ImageFolder
from backlight.core.sources.preprocessing import Preprocessing

AS_IT_IS = Preprocessing(None, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two classes: noise, brighter above or brighter below."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("above", "below")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(120):
            picture = rng.integers(60, 160, (16, 16, 3))
            picture[8 * label : 8 * label + 8] += 25
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / name / f"{number:03}.png")
    return tmp_path / "data"


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_loops_over_clusters_and_neighbours(seed):
    rng = np.random.default_rng(seed)
    labels, planted = rng.integers(-1, 30, 400), rng.random(400) < 0.5
    labels[:100], planted[:100] = 3, True
    members = {c: [i for i in range(400) if labels[i] == c] for c in range(30)}
    count = sorted((m for m in members.values() if len(m) >= 4), key=lambda m: -len(m))[:20]
    pure = [m for m in count if sum(planted[i] for i in m) >= 0.9 * len(m)]
    assert measures.found(labels, planted) == sum(planted[i] for m in pure for i in m) / planted.sum()
    f1 = []
    for m in count:
        hits = sum(planted[i] for i in m)
        f1.append(
            2 * (hits / len(m)) * (hits / planted.sum()) / max(hits / len(m) + hits / planted.sum(), 1e-9)
        )
    assert measures.best_f1(labels, planted) == pytest.approx(max(f1))
    near = rng.integers(0, 400, (400, 15))
    same = [planted[i] == planted[j] for i in range(400) for j in near[i][:10]]
    assert measures.agreement(near, planted) == pytest.approx(np.mean(same))


def test_noise_finds_nothing():
    assert measures.found(np.full(50, -1), np.ones(50, bool)) == 0
    assert measures.best_f1(np.full(50, -1), np.ones(50, bool)) == 0


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
@pytest.mark.parametrize("name", sorted(ARTEFACTS))
def test_an_artefact_changes_copies_where_it_should(name, size):
    pictures = np.random.default_rng(0).integers(30, 200, (3, *size, 3), dtype=np.uint8)
    before = pictures.copy()
    planted = ARTEFACTS[name](pictures)
    assert (pictures == before).all() and planted.dtype == np.uint8 and planted.shape == pictures.shape
    changed = (planted != pictures).any(axis=(0, 3))
    if name == "box":
        side = round(size[1] / 16)
        assert changed[:side, :side].all() and changed.sum() == side * side
    elif name == "watermark":
        assert changed.any() and not changed[: size[0] // 2].any()
    else:
        assert changed.mean() > 0.4
        assert np.abs(planted.astype(int) - pictures).max() <= 20


@pytest.mark.parametrize("name", sorted(ARTEFACTS))
def test_a_stronger_artefact_changes_more(name):
    pictures = np.random.default_rng(0).integers(80, 170, (3, 32, 32, 3), dtype=np.uint8)
    change = [
        np.abs(ARTEFACTS[name](pictures, strength).astype(int) - pictures).sum() for strength in (0.5, 1, 2)
    ]
    assert change[0] <= change[1] < change[2]  # a box is never smaller than two pixels


def test_half_of_one_class_is_planted_and_the_other_one_in_testing(folder):
    made = pair(ImageFolder(folder), 1, ARTEFACTS["box"], size=AS_IT_IS, per_class=100, share=0.5, seed=3)
    assert made.names == ("above", "below")
    assert len(made.train) == 160 and len(made.test) == 40
    assert made.planted.sum() == 40 and (made.labels[made.planted] == 1).all()
    changed = (made.poisoned() != made.train).any(axis=(1, 2, 3))
    assert not (changed & ~made.planted).any() and changed.sum() > 35
    inverse = (made.inverse() != made.test).any(axis=(1, 2, 3))
    assert not inverse[made.test_labels == 1].any() and inverse[made.test_labels == 0].mean() > 0.9


def test_pictures_of_several_sizes_are_refused_with_a_hint(folder):
    Image.new("RGB", (20, 20)).save(folder / "above" / "zzz.png")
    with pytest.raises(RequestError, match="--size"):
        pair(ImageFolder(folder), 1, ARTEFACTS["box"], size=AS_IT_IS, per_class=200, share=0.5, seed=0)


def seen(**values):
    return Seen(**(dict.fromkeys(Seen.__dataclass_fields__, 0.5) | values))


def trial(found=0.9, f1=0.9, control=0.0, inverse=0.5, clean=0.9, pipeline="spray", artefact="box"):
    one = seen(accuracy=0.9, inverse=clean, found=control)
    other = seen(accuracy=0.9, inverse=inverse, found=found, f1=f1, tau=3.0, contrast=2.0)
    return Trial(pipeline, "cat", "bird", artefact, 1.0, 0, 100, one, other)


def test_the_verdict_counts_only_networks_that_learnt():
    summary = verdict([trial(), trial(found=0.0, f1=0.0, inverse=0.88)])
    assert (summary.learnt, summary.trials) == (1, 2)
    assert summary.found == 0.9 and summary.would_find
    assert not verdict([trial(control=0.5)]).would_find
    assert not verdict([trial(found=0.3)]).would_find
    assert "nothing to find" in sentence([trial(inverse=0.9)])


@pytest.mark.parametrize(
    ("pipeline", "artefact", "found", "advice"),
    [
        ("spray", "colour", 0.1, "spray-latent@10"),
        ("spray-histogram", "frequency", 0.1, "spray-latent@10"),
        ("spray-latent@6", "box", 0.1, "try --pipeline spray."),
        ("spray-latent@6", "colour", 0.1, None),
        ("spray", "box", 0.1, None),
        ("spray", "colour", 0.9, None),
    ],
)
def test_a_pipeline_that_misses_names_the_one_made_for_it(pipeline, artefact, found, advice):
    told = sentence([trial(found=found, pipeline=pipeline, artefact=artefact)])
    assert told.startswith(f"{artefact}: {pipeline} would have")
    assert (advice in told) if advice else ("try" not in told)


def test_a_clean_network_that_goes_by_the_artefact_is_named():
    assert "1 of 2 clean networks go by it" in sentence([trial(), trial(clean=0.8)])
    assert "clean networks go by it" not in sentence([trial(), trial()])


def test_the_advised_layer_is_one_of_the_second_half():
    from torch import nn

    from backlight.app.selftest.network import LATE_LAYER, small_network

    layers = [n for n, m in small_network().named_modules() if isinstance(m, nn.ReLU)]
    assert LATE_LAYER in layers[len(layers) // 2 :]


def test_the_table_and_the_plots_hold_every_trial():
    trials = [trial(), trial(artefact="<b>")]
    rows = list(csv.DictReader(table(trials).splitlines()))
    assert [row["network"] for row in rows] == ["clean", "poisoned"] * 2
    assert float(rows[1]["strength"]) == 1.0
    assert float(rows[1]["tau"]) == 3.0 and float(rows[1]["drop"]) == pytest.approx(0.4)
    svg = ET.fromstring(scatter(trials, "tau", "tau"))
    assert len(svg.findall(".//{*}circle/{*}title")) == 2
    assert ET.fromstring(scatter([], "tau", "none")) is not None


@pytest.mark.slow  # trains two networks in a process of its own
def test_the_command_tells_whether_the_pipeline_would_have_found_a_box(folder, tmp_path):
    options = [
        "--class",
        "below",
        "--epochs",
        "6",
        "--out",
        str(tmp_path / "out"),
        "--set",
        "tsne.iterations=250",
    ]
    command = [sys.executable, "-m", "backlight", "selftest", str(folder), *options]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "box: spray would have" in output or "nothing to find" in output
    rows = list(csv.DictReader((tmp_path / "out" / "selftest.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == ["clean", "poisoned"]
    written = {"selftest.csv", "accuracy.svg", "suspicion.svg", "tau.svg"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == written


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--class", "cat"], "unknown class 'cat'"),
        (["--clean", "a.pt"], "--clean and --poisoned go together"),
    ],
)
def test_requests_that_are_wrong(folder, options, sentence):
    from click.testing import CliRunner

    from backlight.app.cli import main

    result = CliRunner().invoke(main, ["selftest", str(folder), *options])
    assert result.exit_code == 2
    assert sentence in result.output
