"""Eigenvalues ascending, and the gap where the analysis or the values put it."""

import h5py
import numpy as np

from backlight.core.project import ANALYSIS_FILE, open_project
from backlight.plugins.viewers.spectrum import ascending, chart, eigengap
from synthetic_run import write_run


def test_eigenvalues_ascend_whatever_the_order_in_the_file(dog):
    values = ascending(dog)
    assert values.tolist() == sorted(values)
    assert values[0] == 0.0
    assert eigengap(dog, values) == 3


def test_the_laplacian_eigenvalues_are_preferred_and_the_gap_is_found(tmp_path):
    run = write_run(tmp_path / "run").parent
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        group = file["00000001"]
        del group["score/eigengap"], file["00000000/embedding/spectral"].attrs["eigenvalue"]
        laplacian = np.array([0.9, 0.85, 0.8, 0.7, 0.1, 0.1, 0.0, 0.0])
        group["embedding/spectral"].attrs["laplacian_eigenvalue"] = laplacian
        group["embedding/spectral"].attrs["eigenvalue"] = 1 - laplacian
    with open_project(run) as project:
        categories = project.analysis("spray").categories
        values = ascending(categories["00000001"])
        assert values.tolist() == sorted(laplacian)
        assert eigengap(categories["00000001"], values) == 4
        assert ascending(categories["00000000"]) is None


def bars(drawn):
    return drawn.children[1].children


def test_the_chart_marks_the_gap():
    drawn = chart(np.array([0.0, 0.1, 0.5]), 2)
    assert [bar.children.style["height"] for bar in bars(drawn)] == ["0.00%", "20.00%", "100.00%"]
    assert ["before-gap" in bar.className.split() for bar in bars(drawn)] == [True, True, False]
    assert ["last-before-gap" in bar.className for bar in bars(drawn)] == [False, True, False]
    assert bars(drawn)[1].title == "λ2 = 0.1"
    assert getattr(drawn, "aria-label") == "3 eigenvalues from 0 to 0.5, gap after 2"


def test_eigenvalues_that_are_all_zero_or_slightly_below_have_no_height():
    drawn = chart(np.array([-1e-9, 0.0]), None)
    assert {bar.children.style["height"] for bar in bars(drawn)} == {"0.00%"}
    assert not any("gap" in bar.className for bar in bars(drawn))
