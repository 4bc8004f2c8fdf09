"""What is told about a sample beside its picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backlight.core.errors import RequestError
from backlight.core.projects.sample import describe, probabilities


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(width=32)))
def test_any_outputs_become_probabilities(outputs):
    shares = probabilities(outputs)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=2e-3)


def test_probabilities_are_taken_as_they_are():
    outputs = np.array([[0.2, 0.8], [0.5, 0.5]])
    np.testing.assert_array_equal(probabilities(outputs), outputs)


def test_samples_are_described_in_the_order_asked_for(context):
    project = context.projects["pets"]
    found = describe(project, [150, 3, 70])
    assert [s.index for s in found] == [150, 3, 70]
    assert [s.label for s in found] == ["<b>fish</b>", "cat", "dog"]
    assert found[1].file_name == "cat/0003.png"
    best = project.attributions.predictions(np.array([150, 3, 70])).argmax(axis=1)
    assert [s.predicted[0][0] for s in found] == [project.labels.label(int(k)).name for k in best]
    with pytest.raises(RequestError, match="none numbered 180"):
        describe(project, [180])
