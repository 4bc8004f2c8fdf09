"""Tasks in threads: order, how many are ahead, errors, and one BLAS thread each."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from backlight.core.errors import RequestError
from backlight.core.threads import ahead, lent, shared


def blas_threads():
    libraries = ThreadpoolController().select(user_api="blas").info()
    if not libraries:
        pytest.skip("this numpy has no BLAS whose threads can be told")
    return {library["num_threads"] for library in libraries}


def test_results_come_in_order_however_long_each_takes():
    others = threading.Barrier(3, timeout=60)

    def square(number):
        if number < 3:
            others.wait()  # passes only if three run at once
        return number**2

    assert list(ahead(square, range(20), threads=3)) == [number**2 for number in range(20)]


@pytest.mark.parametrize("waiting", [0, 3])
def test_no_more_are_begun_than_are_allowed_ahead(waiting):
    begun = []
    results = ahead(begun.append, range(50), threads=2, waiting=waiting)
    for taken, _ in enumerate(results, start=1):
        assert len(begun) <= taken + 2 + waiting


def test_an_error_is_raised_in_its_turn_and_ends_the_threads():
    def halve(number):
        if number % 2:
            raise RequestError(f"{number} is odd")
        return number // 2

    before = threading.active_count()
    results = ahead(halve, [4, 2, 3, 8, 10], threads=2)
    assert [next(results), next(results)] == [2, 1]
    with pytest.raises(RequestError, match="3 is odd"):
        next(results)
    assert threading.active_count() == before


def test_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    results = ahead(np.sqrt, range(50), threads=2)
    next(results)
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_tasks_share_the_threads_that_blas_may_use(allowed):
    together = threading.Barrier(allowed, timeout=60)

    def look(number):
        together.wait()  # passes only if as many run at once
        return number, threading.get_ident(), blas_threads()

    with threadpool_limits(allowed):
        found = list(shared(look, range(2 * allowed)))
        assert blas_threads() == {allowed}
    numbers, threads, limits = zip(*found, strict=True)
    assert numbers == tuple(range(2 * allowed))
    assert len(set(threads)) == allowed
    assert all(limit == {1} for limit in limits)
    assert (threading.get_ident() in threads) == (allowed == 1)


def test_tasks_share_the_threads_that_were_lent_where_blas_may_use_one():
    together = threading.Barrier(2, timeout=60)
    with threadpool_limits(1), lent(2):
        assert len(set(shared(lambda _: (together.wait(), threading.get_ident())[1], range(4)))) == 2
    with threadpool_limits(1):
        assert set(shared(lambda _: threading.get_ident(), range(4))) == {threading.get_ident()}
