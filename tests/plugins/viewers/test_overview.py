"""Rows of the overview, with and without what an analysis may have recorded."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.core.project import ANALYSIS_FILE, open_project
from backlight.plugins.viewers.columns import COLUMNS, ranked
from backlight.plugins.viewers.ranking import Row, read, read_row, with_accuracy
from synthetic_run import CLASSES, write_run


def test_rows_hold_what_the_analysis_recorded(context, dog):
    row = read_row(dog)
    assert (row.suspicion, row.ranked_by) == (0.82, "tau")  # an analysis that says nothing else
    assert (row.name, row.size, row.tau, row.baseline, row.gap) == ("dog", 60, 0.82, 0.2, 3)
    assert (row.clustering, row.suspect) == ("hdbscan", (2, 16, 1.0))
    assert [row.name for row in read(context, "pets", "spray")] == list(CLASSES)


def test_every_score_is_optional(tmp_path):
    run = write_run(tmp_path / "run").parent
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        del file["00000000/score"], file["00000001/score/purity"], file["00000002/cluster"]
        file["00000001/score/tau"][()] = np.nan
        file["00000002"].attrs.update({"suspicious_cluster": 0, "suspicious_clustering": "hdbscan"})
    with open_project(run) as project:
        rows = [read_row(c) for c in project.analysis("spray").categories.values()]
    assert rows[0] == Row("00000000", "cat", 60, analysis="spray")
    assert (rows[1].tau, rows[1].suspect) == (None, (2, 16, None))
    assert (rows[2].clustering, rows[2].suspect) == (None, None)


numbers = st.none() | st.floats(allow_nan=False)
rows = st.builds(Row, st.text(), st.text(), st.integers(0), tau=numbers, gap=st.none() | st.integers(1, 32))


@given(st.lists(rows), st.sampled_from(COLUMNS), st.booleans())
def test_ranking_loses_no_row_and_puts_missing_values_last(rows, column, descending):
    result = ranked(rows, {"key": column.key, "descending": descending})
    assert sorted(map(repr, result)) == sorted(map(repr, rows))
    values = [column.value(row) for row in result]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=descending)


def test_a_file_of_another_tool_has_no_scores(tmp_path):
    run = write_run(tmp_path / "run").parent
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        file.copy("00000000", "n02084071")
        file.copy("00000000", "train split")
    with open_project(run) as project:
        names = [c.name for c in project.analysis("spray").categories.values()]
    assert names == [*CLASSES, "n02084071", "train split"]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_explains_itself(column):
    assert column.title
    assert column.text


def test_accuracies_and_sizes_against_counting(context, dog):
    project = context.projects["pets"]
    row = {row.category: row for row in with_accuracy(project, "spray")}[dog.id]
    clusters = dog.clusters("hdbscan")
    right = project.attributions.predictions(dog.index).argmax(axis=1) == 1
    assert row.accuracy == pytest.approx(right[clusters == 2].mean() - right[clusters != 2].mean())
    sizes = [(clusters == c).sum() for c in (0, 1, 2)]
    assert row.smallest == pytest.approx(min(sizes) / 60)


def test_what_classes_are_ranked_by_is_what_the_analysis_says(tmp_path):
    run = write_run(tmp_path / "run").parent
    with h5py.File(run / ANALYSIS_FILE, "r+") as file:
        file["00000000"].attrs.update({"suspicion": 0.7, "ranked_by": "homophily"})
        file["00000001/score/border-share"] = [0.1, 0.2, 0.9]
        file["00000001/score/border-share"].attrs["cluster"] = [0, 1, 2]
    with open_project(run) as project:
        rows = [read_row(c) for c in project.analysis("spray").categories.values()]
    assert [(r.ranked_by, r.suspicion) for r in rows[:2]] == [("homophily", 0.7), ("tau", 0.82)]
    assert (rows[1].border, rows[0].border) == (0.9, None)
