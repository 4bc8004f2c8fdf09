"""Events as they stand in the annotation file: ranges of samples, and any document read or refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.core.errors import BacklightError, RequestError
from backlight.core.projects.events import indices, ranges, read_events


@given(st.sets(st.integers(0, 2**32 - 1), max_size=30))
def test_ranges_and_back(values):
    assert indices(ranges(sorted(values))).tolist() == sorted(values)


@pytest.mark.parametrize("text", ["x", "5-3", "1e9", "-1", "0-99999999999", "1,,2", "0-4294967295"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(RequestError, match="no range"):
        indices(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
fields = st.dictionaries(
    st.sampled_from(["id", "at", "by", "do", "tag", "samples", "text"]), values | st.just("tag")
)


@given(values | st.fixed_dictionaries({"events": st.lists(fields, max_size=3)}))
def test_any_document_is_read_or_refused(document):
    with contextlib.suppress(BacklightError):
        read_events(json.loads(json.dumps(document)), "file")
