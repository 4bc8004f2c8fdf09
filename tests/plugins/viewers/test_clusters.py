"""The cluster list: sizes that add up, noise last, the suspicious one marked."""

import numpy as np

from backlight.plugins.viewers.clusters import sizes, suspicious
from backlight.plugins.viewers.palette import COLOURS, NOISE_COLOUR, cluster_colour


def test_sizes_add_up_and_noise_is_last(dog):
    rows = sizes(dog, "hdbscan")
    assert [cluster for cluster, _ in rows] == [0, 1, 2, -1]
    assert sum(n for _, n in rows) == len(dog.index)
    assert dict(rows)[2] == np.sum(dog.clusters("hdbscan") == 2)


def test_the_suspicious_cluster_is_marked_in_its_clustering_only(context, dog):
    assert suspicious(dog, "hdbscan") == 2
    assert suspicious(dog, "kmeans-02") is None
    assert suspicious(context.category("pets", "spray", "cat"), "hdbscan") is None


def test_colours_differ_and_none_is_the_grey_of_noise():
    assert len(set(COLOURS)) == len(COLOURS)
    assert NOISE_COLOUR not in COLOURS
    assert cluster_colour(-1) == NOISE_COLOUR
    assert cluster_colour(123) in COLOURS
