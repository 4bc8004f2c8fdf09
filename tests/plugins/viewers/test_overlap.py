"""The overlap of two clusterings, against counting by hand."""

import h5py
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from backlight.core.project import ANALYSIS_FILE, DATA_FILE, open_project
from backlight.plugins.viewers.overlap import cell, overlap, renumbered, side
from synthetic_run import write_run


@pytest.fixture
def pets(context):
    return context.projects["pets"]


def test_every_sample_is_counted_once(pets, dog):
    both = side(pets, dog, "hdbscan"), side(pets, dog, "kmeans-02")
    found = overlap(*both)
    ours, theirs = dog.clusters("hdbscan"), dog.clusters("kmeans-02")
    assert (found.rows, found.columns, found.shared) == ((-1, 0, 1, 2), (0, 1), len(dog.index))
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            shared = dog.index[(ours == row) & (theirs == column)]
            assert found.table[i, j] == len(shared)
            assert cell(*both, (row, column)).tolist() == sorted(shared.tolist())
    assert found.rand == pytest.approx(adjusted_rand_score(ours, theirs))


def test_a_clustering_agrees_with_itself_and_other_classes_share_nothing(context, pets, dog):
    assert overlap(side(pets, dog, "hdbscan"), side(pets, dog, "hdbscan")).rand == 1
    cat = context.category("pets", "spray", "cat")
    none = overlap(side(pets, dog, "hdbscan"), side(pets, cat, "hdbscan"))
    assert (none.shared, none.rand) == (0, None)


def test_samples_are_matched_by_dataset_index_not_by_row(tmp_path):
    path = write_run(tmp_path / "other")
    with h5py.File(path.parent / ANALYSIS_FILE, "r+") as file:
        order = np.random.default_rng(1).permutation(60)
        for key in ("index", "cluster/hdbscan"):
            file[f"twin/{key}"] = file[f"00000001/{key}"][:][order]
    with open_project(path) as project:
        analysis = project.analysis("spray")
        both = [side(project, analysis.category(name), "hdbscan") for name in ("dog", "twin")]
        found = overlap(*both)
    assert found.rand == 1
    np.testing.assert_array_equal(found.table, np.diag(np.diag(found.table)))


def test_samples_of_another_project_are_found_by_file_name(pets, dog, tmp_path):
    path = write_run(tmp_path / "other", per_class=20, name="other")
    with open_project(path) as other:
        theirs = other.analysis("spray").category("dog")
        # dog/0020.png is sample 20 there; here dogs have the numbers 60 to 119.
        with h5py.File(path.parent / DATA_FILE, "r+") as file:
            names = [f"dog/{60 + 2 * k:04d}.png" for k in range(20)]
            file["source"][20:40] = names
        found = renumbered(pets, dog, other, theirs)
        assert found.tolist() == [60 + 2 * k if 60 + 2 * k < 120 else -1 for k in range(20)]
        both = side(pets, dog, "hdbscan"), side(other, theirs, "hdbscan", found)
        assert overlap(*both).shared == 20
        assert renumbered(pets, dog, pets, dog).tolist() == dog.index.tolist()


def test_samples_without_names_are_the_same_in_the_same_dataset_only(tmp_path):
    def nameless(folder, **options):
        path = write_run(tmp_path / folder, **options)
        with h5py.File(path.parent / DATA_FILE, "r+") as file:
            del file["source"]
        return open_project(path)

    with nameless("a", name="a") as a, nameless("b", name="b") as b, nameless("c", per_class=30) as c:
        dogs = [p.analysis("spray").category("dog") for p in (a, b, c)]
        assert renumbered(a, dogs[0], b, dogs[1]).tolist() == dogs[1].index.tolist()
        assert set(renumbered(a, dogs[0], c, dogs[2]).tolist()) == {-1}
