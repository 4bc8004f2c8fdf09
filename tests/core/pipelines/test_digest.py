"""Digests differ when anything differs, and agree across processes, spellings and memory layouts."""

import functools
import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA

from backlight.core.errors import RequestError
from backlight.core.pipelines.digest import canonical, digest_code, digest_text, digest_value, environment
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.neighbours import Knn

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(a=PLAIN, b=PLAIN)
def test_plain_values_have_equal_digests_exactly_if_equal(a, b):
    # repr tells 1 from True and 1.0, () from [], which == does not
    same = repr(sorted_dicts(a)) == repr(sorted_dicts(b))
    assert (digest_value(a) == digest_value(b)) == same


def sorted_dicts(value):
    if isinstance(value, dict):
        return ("dict", sorted((key, repr(sorted_dicts(item))) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return type(value)(sorted_dicts(item) for item in value)
    return value


@given(
    array=hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
def test_arrays_digest_by_content_not_layout(array):
    once = digest_value(array)
    assert once == digest_value(array.copy(order="F"))
    assert once != digest_value(array[None])
    assert digest_value(array.ravel()[::2]) == digest_value(array.ravel()[::2].copy())


def test_one_changed_value_dtype_or_shape_is_another_digest():
    array = np.zeros((1000, 3), np.float32)
    changed = array.copy()
    changed[997, 2] = 1e-30
    others = [changed, array.astype(np.float64), array.reshape(3, 1000), array.view(np.int32), array[:-1]]
    assert len({digest_value(a) for a in [array, *others]}) == 6


def test_sparse_matrices_digest_by_entries():
    dense = np.diag([1.0, 2.0, 0.0])
    assert digest_value(sp.csr_array(dense)) == digest_value(sp.csr_array(dense.copy()))
    assert digest_value(sp.csr_array(dense)) != digest_value(sp.csr_array(dense * 2))
    assert digest_value(sp.csr_array(dense)) != digest_value(sp.csr_array(np.diag([1.0, 2.0])))


def test_concatenation_is_not_ambiguous():
    assert digest_text("ab", "c") != digest_text("a", "bc")
    assert digest_value({"a": "b"}) != digest_value(("a", "b"))


def test_objects_without_content_are_refused():
    with pytest.raises(RequestError, match="cannot be cached"):
        canonical(object())
    with pytest.raises(RequestError, match="array of Python objects"):
        digest_value(np.array([object()]))


def test_estimators_and_dataclasses_are_told_by_parameters():
    assert canonical(PCA(3)) == canonical(PCA(3))
    assert canonical(PCA(3)) != canonical(PCA(4))
    assert canonical(KMeans(3)) != canonical(KMeans(4))


SOURCE = """
from dataclasses import dataclass
from functools import lru_cache

FACTOR = 2
TABLE = frozenset({"a", "b", "c"})

def helper(x):
    return FACTOR * x

@lru_cache
def cached(x):
    return x + 1

class Base:
    def shared(self, x):
        return x

@dataclass(frozen=True)
class Thing(Base):
    size: int = 1
    name = "thing"

    def __call__(self, x):
        return [helper(y) for y in self.shared(x)] if x in TABLE else cached(x)

    @property
    def double(self):
        return 2 * self.size

    @staticmethod
    def fixed(x=3):
        return x
"""

EDITS = {
    "method": ("self.shared(x)] if", "self.shared(x)[1:]] if"),
    "helper": ("FACTOR * x", "FACTOR + x"),
    "constant": ("FACTOR = 2", "FACTOR = 3"),
    "set": ('"c"}', '"d"}'),
    "decorated helper": ("return x + 1", "return x + 2"),
    "base class": ("        return x\n\n@dataclass", "        return x, x\n\n@dataclass"),
    "class attribute": ('name = "thing"', 'name = "other"'),
    "property": ("2 * self.size", "4 * self.size"),
    "default argument": ("x=3", "x=4"),
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a module of this source under one name, again and again."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(source):
        (tmp_path / "changing.py").write_text(source)
        sys.modules.pop("changing", None)
        importlib.invalidate_caches()
        for compiled in (tmp_path / "__pycache__").glob("*"):
            compiled.unlink()
        return importlib.import_module("changing")

    yield load
    sys.modules.pop("changing", None)


@pytest.mark.parametrize("edit", EDITS)
def test_any_change_of_reachable_code_changes_the_digest(module, edit):
    before = digest_code(module(SOURCE).Thing)
    old, new = EDITS[edit]
    assert SOURCE.count(old) == 1
    assert digest_code(module(SOURCE.replace(old, new)).Thing) != before


def test_comments_and_unrelated_functions_do_not_change_it(module):
    before = digest_code(module(SOURCE).Thing)
    assert digest_code(module("# hello\n" + SOURCE + "\ndef unrelated():\n    return 5\n").Thing) == before


def test_a_patched_helper_changes_the_digest(monkeypatch):
    before = digest_code(Knn)
    monkeypatch.setattr("backlight.plugins.processors.neighbours._SPARE", 5)
    assert digest_code(Knn) != before


def test_functions_with_enclosed_values_and_recursion():
    def outer(n):
        def inner(x):
            return inner(x - 1) if x > n else x

        return inner

    assert digest_code(outer(1)) == digest_code(outer(1))
    assert digest_code(outer(1)) != digest_code(outer(2))


@dataclass(frozen=True)
class Holder:
    names: ClassVar[tuple[str, ...]] = ("a",)

    @functools.cached_property
    def value(self):
        return {"x", "y", "z"}


def test_equal_in_every_process():
    code = (
        "from backlight.core.pipelines.digest import digest_code, canonical;"
        "from backlight.plugins.processors.strategies import Strategies;"
        "print(digest_code(Strategies), canonical(Strategies(smallest=0.1)))"
    )
    env = dict(os.environ)
    out = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=env | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(out) == 1
    assert digest_code(Holder) == digest_code(Holder)


def test_environment_names_versions_of_requirements():
    text = environment("backlight")
    assert '"backlight"' in text
    assert '"scikit-learn"' in text
    assert '"pytest"' not in text  # an extra
    assert environment("no-such-distribution") == ""
