"""Pipelines as files: back and forth, errors by name, sweeps that share what lies upstream."""

import numpy as np
import pytest

from backlight.core.errors import FormatError, RequestError
from backlight.core.pipeline import pipeline
from backlight.core.pipelines.cache import Cache
from backlight.core.pipelines.pipeline_file import drawn, read_pipeline, sweep, to_toml


def maps(n=60):
    relevance = np.random.default_rng(0).random((n, 1, 8, 8)).astype(np.float32)
    relevance[: n // 2, 0, :2, :2] += 2
    return relevance


def test_a_file_gives_back_an_equal_pipeline(tmp_path):
    steps = pipeline("spray", neighbours=7)
    (tmp_path / "mine.toml").write_text(to_toml(steps), encoding="utf-8")
    assert read_pipeline(tmp_path / "mine.toml") == steps


def test_a_file_without_a_name_gets_the_files(tmp_path):
    (tmp_path / "short.toml").write_text(
        '[[steps]]\nname = "flat"\nprocessor = "flatten"\n', encoding="utf-8"
    )
    assert read_pipeline(tmp_path / "short.toml").name == "short"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("name = ", FormatError, "cannot be read"),
        ("", RequestError, "'steps'"),
        ('[[steps]]\nname = "a"\nprocessor = "flaten"', RequestError, "flatten"),
        ('[[steps]]\nname = "a"\nprocessor = "knn"\nparameters = { kk = 3 }', RequestError, "kk"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(tmp_path, text, error, says):
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=r"bad\.toml.*" + says):
        read_pipeline(tmp_path / "bad.toml")


def test_a_sweep_equals_separate_runs_and_computes_what_is_upstream_once(tmp_path):
    steps = pipeline("spray", neighbours=8, eigenvalues=6, until="strategies")
    both = sweep(steps, "spectral.m", (4, 6))
    cache = Cache(tmp_path)
    results = both(maps(), cache=cache)
    assert [name for name in results.computed if name.startswith(("knn", "spectral"))] == [
        "knn",
        "knn-affinity",
        "spectral-m=4",
        "spectral-m=6",
    ]
    for m in (4, 6):
        alone = steps.replace({"spectral.m": m})(maps())
        for name, output in (("spectral", "embedding"), ("strategies", "labels")):
            assert (results[f"{name}-m={m}"][output] == alone[name][output]).all()


def test_a_sweep_may_start_at_the_first_step():
    both = sweep(pipeline("spray", until="knn"), "pool.grid", (4, 8))
    results = both(maps())
    assert set(results) == {"knn-grid=4", "knn-grid=8"}
    assert not np.allclose(results["knn-grid=4"]["distances"], results["knn-grid=8"]["distances"])


def test_sweeps_of_unknown_parameters_are_refused():
    steps = pipeline("spray")
    for parameter, values in (("knnn.k", (1,)), ("knn.kk", (1,)), ("knn", (1,)), ("knn.k", ())):
        with pytest.raises(RequestError):
            sweep(steps, parameter, values)


def test_a_drawing_names_every_step_and_its_sources():
    text = drawn(pipeline("spray"))
    assert "knn-affinity     [affinity] knn.neighbours, knn.distances -> affinity" in text
    assert all(step.name in text for step in pipeline("spray").steps)


def test_trim_keeps_what_was_used_last(tmp_path):
    cache = Cache(tmp_path)
    for key in "abc":
        cache.put(key * 40, {"values": np.zeros(1000)})
    one = cache.size()[1] // 3
    import os

    for age, key in enumerate("abc"):
        os.utime(cache._path(key * 40), (age + 1, age + 1))
    assert cache.get("a" * 40) is not None  # used now: the youngest
    assert cache.trim(2 * one) == 1
    assert "b" * 40 not in cache and "a" * 40 in cache and "c" * 40 in cache
    assert cache.trim(0) == 2 and cache.size() == (0, 0)
