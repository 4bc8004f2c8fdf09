"""The cache: everything stored comes back equal, damage is a miss, a killed writer leaves nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backlight.core.pipelines.cache import Cache, step_key
from backlight.plugins.processors.kmeans import KMeans
from backlight.plugins.processors.spectral import Spectral

KEY = "ab" + 38 * "0"

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def equal(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


@settings(max_examples=60)
@given(outputs=st.dictionaries(st.text(), VALUES, max_size=3))
def test_what_is_stored_comes_back_equal(tmp_path_factory, outputs):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    assert cache.put(KEY, outputs)
    assert equal(cache.get(KEY), outputs)


@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
def test_sparse_matrices_keep_kind_and_entries(tmp_path, kind):
    matrix = kind(np.diag([1.0, 0.0, 3.0]))
    Cache(tmp_path).put(KEY, {"x": matrix})
    found = Cache(tmp_path).get(KEY)["x"]
    assert type(found) is type(matrix)
    np.testing.assert_array_equal(found.toarray(), matrix.toarray())


def test_numpy_scalars_stay_numpy_scalars(tmp_path):
    Cache(tmp_path).put(KEY, {"x": np.float32(0.5)})
    assert isinstance(Cache(tmp_path).get(KEY)["x"], np.float32)


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), {"deep": [lambda: 0]}])
def test_what_needs_pickle_is_not_stored(tmp_path, value):
    cache = Cache(tmp_path)
    assert not cache.put(KEY, {"x": value})
    assert KEY not in cache
    assert not list(tmp_path.rglob("*.npz"))


def test_a_missing_entry_is_none(tmp_path):
    assert Cache(tmp_path / "nowhere").get(KEY) is None


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "garbage", "other archive"])
def test_a_damaged_entry_is_a_miss_and_replaced(tmp_path, damage):
    cache = Cache(tmp_path)
    outputs = {"x": np.arange(5000.0)}
    cache.put(KEY, outputs)
    (path,) = tmp_path.rglob("*.npz")
    data = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "garbage":
        path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    else:
        with path.open("wb") as file:
            np.savez(file, something=np.zeros(3))
    assert cache.get(KEY) is None
    assert KEY not in cache
    cache.put(KEY, outputs)
    assert equal(cache.get(KEY), outputs)


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / KEY[:2] / f"{KEY}.npz"
    path.parent.mkdir()
    with path.open("wb") as file:
        np.savez(file, manifest=np.array([object()], dtype=object))
    assert Cache(tmp_path).get(KEY) is None


def test_a_writer_killed_in_the_middle_leaves_the_old_entry(tmp_path):
    cache = Cache(tmp_path)
    cache.put(KEY, {"x": np.arange(3)})
    script = f"""
        import numpy as np, sys
        from backlight.core.pipelines import cache
        real = np.savez
        def slow(file, **arrays):
            file.write(b"half an entry"); file.flush()
            print("writing", flush=True)
            sys.stdin.read()
        np.savez = slow
        cache.Cache({str(tmp_path)!r}).put({KEY!r}, {{"x": np.zeros(3)}})
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    writer = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout.readline() == "writing\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert cache.get(KEY)["x"].tolist() == [0, 1, 2]
    assert cache.size()[0] == 1
    assert cache.clear() == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_size_counts_entries_and_bytes(tmp_path):
    cache = Cache(tmp_path)
    assert cache.size() == (0, 0)
    cache.put(KEY, {"x": np.zeros(1000)})
    entries, size = cache.size()
    assert entries == 1
    assert size > 8000


def test_key_changes_with_every_field_and_input():
    base = step_key(KMeans(3), {"embedding": "a"})
    assert step_key(KMeans(3), {"embedding": "a"}) == base
    changed = [
        step_key(processor, {"embedding": "a"})
        for processor in (
            KMeans(4),
            KMeans(3, dimensions=2),
            KMeans(3, unit_rows=False),
            KMeans(3, starts=2),
            KMeans(3, seed=1),
        )
    ]
    changed += [
        step_key(KMeans(3), {"embedding": "b"}),
        step_key(KMeans(3), {"embedding": "a", "eigengap": "c"}),
    ]
    changed += [step_key(Spectral(3), {"embedding": "a"})]
    assert len({base, *changed}) == 9


def test_key_does_not_depend_on_what_was_looked_up_before():
    code = (
        "from backlight.core.pipelines.cache import step_key; "
        "from backlight.plugins.processors.neighbours import Knn; "
    )
    keys = set()
    for first in ("", "import backlight; backlight.pipeline('spray').to_dict();"):
        command = [sys.executable, "-c", first + code + "print(step_key(Knn(3), {}))"]
        keys.add(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(keys) == 1


def test_key_changes_with_code_and_versions(monkeypatch):
    base = step_key(KMeans(3), {})
    monkeypatch.setattr("backlight.core.pipelines.cache.environment", lambda dist: "another version")
    assert step_key(KMeans(3), {}) != base
    monkeypatch.undo()
    monkeypatch.setattr("backlight.plugins.processors.kmeans.unit_rows", lambda points: points)
    assert step_key(KMeans(3), {}) != base
