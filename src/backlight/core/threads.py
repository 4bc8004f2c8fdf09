"""Independent tasks in threads of this process, their results in order and never more than a few ahead.

Made for tasks that spend their time outside Python's lock, as reading files and numpy on large arrays do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")

_MOST, _WAITING = 16, 4
"""Threads that share tasks, and results that wait: one thread takes these, and each may be megabytes."""

_lent: ContextVar[int | None] = ContextVar("_lent", default=None)


def ahead(function: Callable[[T], R], tasks: Iterable[T], threads: int, waiting: int = 0) -> Generator[R]:
    """Yield `function(task)` of every task in order, while `threads` threads compute those that follow.

    waiting: results that may wait to be taken, so that no thread stands still while one is made use of.
    """
    pool = ThreadPoolExecutor(threads)
    begun: deque[Future[R]] = deque()
    try:
        for task in tasks:
            begun.append(pool.submit(function, task))
            if len(begun) > threads + waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def lent(threads: int) -> Iterator[None]:
    """Let `shared` use so many threads, whatever BLAS may use."""
    token = _lent.set(threads)
    try:
        yield
    finally:
        _lent.reset(token)


def shared(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """Yield `function(task)` of every task in order, in as many threads as were lent or as BLAS may use.

    Every task has one BLAS thread, so that results are the same bytes for any number of threads.
    """
    blas = _blas()
    allowed = _lent.get() or min((library["num_threads"] for library in blas.info()), default=1)
    threads = min(allowed, len(tasks), _MOST)
    with blas.limit(limits=1):
        if threads <= 1:
            yield from map(function, tasks)
        else:
            yield from ahead(function, tasks, threads, waiting=min(threads, _WAITING))


@cache
def _blas() -> ThreadpoolController:
    import numpy as np  # noqa: F401  (loads the BLAS to look for)
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas")
