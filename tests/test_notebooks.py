"""The notebooks run, and find what their text says they find; in the repository they have no outputs."""

import re
from pathlib import Path

import nbformat
import notebooks
import pytest

FOLDER = Path(__file__).parents[1] / "docs/notebooks"


def printed(notebook):
    """Return all that the cells of an executed notebook printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.text for output in outputs if output.output_type == "stream")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda p: p.stem)
def test_it_is_kept_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]


@pytest.mark.slow  # trains a network in a kernel of its own
def test_attribution():
    notebook = notebooks.executed(FOLDER / "attribution.ipynb")
    text = printed(notebook)
    assert float(re.search(r"([\d.]+)% of the pictures", text)[1]) > 90
    assert float(re.search(r"([\d.]+)% of the relevance is missing", text)[1]) < 0.1
    assert "'conv1': \"Flat(" in text
    assert "'conv3': \"Gamma(gamma=0.5" in text
    assert "weights unchanged: True – hooks: 0" in text
    page, pictures = notebooks.rendered(notebook, "attribution")
    assert page.startswith("# Attribution: one picture, several rules\n")
    assert set(re.findall(r"!\[.+\]\((\S+)\)", page)) == set(pictures)  # none without alternative text
    assert len(pictures) >= 4


@pytest.mark.slow  # trains two networks and clusters ten classes
def test_clever_hans():
    text = printed(notebooks.executed(FOLDER / "clever-hans.ipynb"))
    victim, suspect = re.search(r"painted class is '(\w+)', the suspected one '(\w+)'", text).groups()
    assert victim == suspect
    odd, hits, painted = map(
        int, re.search(r"of (\d+) odd pictures (\d+) are painted, of (\d+)", text).groups()
    )
    assert 2 * hits / (odd + painted) > 0.95
    shares = re.findall(r"([\d.]+)% as they are, ([\d.]+)% with the square", text)
    (before, swayed), (after, mended) = [(float(one), float(other)) for one, other in shares]
    assert swayed > before + 5
    assert abs(mended - after) < 2
    before, now = map(float, re.search(r"([\d.]+) before, ([\d.]+) now", text).groups())
    assert before > now + 0.3
