"""The tutorial is true: its blocks run, and it finds what it says it finds."""

from pathlib import Path

import pytest

import docs_blocks

PAGE = Path(__file__).parents[1] / "docs/guide/tutorial.md"


@pytest.mark.slow  # trains a network, explains 720 pictures and clusters them
def test_the_tutorial_finds_the_artefact(tmp_path):
    *_, trained, attributed, analysed, looked = docs_blocks.run(PAGE, tmp_path)
    assert int(trained.partition("%")[0]) >= 97
    assert "720 samples" in attributed
    ranked = [line.split("│")[2].strip() for line in analysed.splitlines() if line.startswith("│")]
    assert ranked[0] == "three"
    assert set(ranked) == {"zero", "one", "two", "three"}
    name, _, rest = looked.splitlines()[0].partition(":")
    assert name == "three"
    assert int(rest.rpartition(",")[2].partition("%")[0]) >= 90
