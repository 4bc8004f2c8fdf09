"""The pages of the documentation are true: their commands run, and print what is shown."""

from pathlib import Path

import pytest

import docs_blocks
import venvs

ROOT = Path(__file__).parents[1]


@pytest.mark.slow  # installs a package and starts interpreters that import torch
def test_an_authors_first_ten_minutes(tmp_path):
    python = venvs.make(tmp_path / "venv")
    docs_blocks.run(ROOT / "docs/authors/first-plugin.md", tmp_path, python)


def test_a_difference_between_what_is_shown_and_printed_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ python -c 'print(1, 2)'\n1 3\n```\n")
    with pytest.raises(AssertionError):
        docs_blocks.run(page, tmp_path)
    page.write_text("```console\n$ python -c 'print(1, 2)'\n1\n… 2\n```\n")
    with pytest.raises(AssertionError):
        docs_blocks.run(page, tmp_path)
    page.write_text("```console\n$ python -c 'print(1, 2, 3)'\n1\n… 3\n$ python -c 'print(4)'\n```\n")
    assert docs_blocks.run(page, tmp_path) == ["1 2 3\n", "4\n"]
