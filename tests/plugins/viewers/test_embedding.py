"""What the map is drawn from."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from backlight.core.panel import from_typed, typed_array
from backlight.plugins.viewers.embedding import read_groups, read_points

SCOPE = ("pets", "spray", "00000001")


def decode(sent):
    return np.frombuffer(base64.b64decode(sent["bdata"]), "<" + sent["dtype"])


@given(hnp.arrays(hnp.integer_dtypes() | hnp.unsigned_integer_dtypes(sizes=(8, 16, 32)), 20))
def test_integers_travel_unchanged_in_the_narrowest_type(values):
    sent = typed_array(values)
    assert (decode(sent) == values.astype(np.float64)).all()
    assert decode(sent).itemsize <= max(values.itemsize, 2)


def test_floats_travel_as_float32():
    values = np.array([1.5, -np.inf, np.nan])
    np.testing.assert_array_equal(decode(typed_array(values)), values.astype(np.float32))
    assert decode(typed_array(np.array([]))).size == 0


def test_points_are_the_chosen_components_of_the_right_samples(context, dog):
    sent = read_points(context, SCOPE, {"name": "spectral", "x": 0, "y": 3})
    stored = dog.embedding("spectral").all()
    # Columns lie in the file by descending eigenvalue; component 1 is the smallest, so the last column.
    np.testing.assert_array_equal(decode(sent["x"]), stored[:, 7])
    np.testing.assert_array_equal(decode(sent["y"]), stored[:, 4])
    np.testing.assert_array_equal(from_typed(sent["index"]), dog.index)
    assert sent["axes"] == ["component 1  (λ = 0)", "component 4  (λ = 0.31)"]


def test_noise_is_drawn_first_grey_and_called_noise(context, dog):
    sent = read_groups(context, SCOPE, "hdbscan")
    np.testing.assert_array_equal(decode(sent["ids"]), dog.clusters("hdbscan"))
    assert [c["name"] for c in sent["clusters"]] == ["noise", "cluster 0", "cluster 1", "cluster 2"]
    red, green, blue = bytes.fromhex(sent["clusters"][0]["colour"][1:])
    assert max(red, green, blue) - min(red, green, blue) < 24


def test_no_clustering_is_one_group_and_a_passing_name_is_waited_out(context):
    sent = read_groups(context, SCOPE, None)
    assert [c["name"] for c in sent["clusters"]] == ["sample"]
    assert read_groups(context, SCOPE, "not-here") is None
    assert read_points(context, SCOPE, {"name": "umap", "x": 0, "y": 1}) is None


@pytest.mark.parametrize("axes", [(0, 1), (5, 2), (3, 3)])
def test_any_pair_of_components_can_be_shown(context, dog, axes):
    embedding = dog.embedding("spectral")
    sent = read_points(context, SCOPE, {"name": "spectral", "x": axes[0], "y": axes[1]})
    order = np.argsort(embedding.eigenvalues)
    np.testing.assert_array_equal(decode(sent["x"]), embedding.all()[:, order[axes[0]]])
    np.testing.assert_array_equal(decode(sent["y"]), embedding.all()[:, order[axes[1]]])
