"""Memory of a run does not grow with its dataset, by the measurement that the docs show."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks/bench_attribute.py"


@pytest.mark.slow  # two processes that import torch and explain some thousand pictures
def test_the_peak_is_the_same_for_eight_times_the_pictures():
    spec = importlib.util.spec_from_file_location("bench_attribute", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    small, large = benchmark.peaks([600, 4800])
    assert large < 1.1 * small
