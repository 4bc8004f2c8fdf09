"""The executor seam: independent tasks go in, results come out in order, whoever computes them.

Every task runs with one BLAS and OpenMP thread, in this process or in another, so that results are the same
bytes for any number of workers. Cores that no task takes are lent to what can share them: core/threads.py.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Protocol, Self, TypeVar

from backlight.core.errors import BacklightError, RequestError
from backlight.core.threads import lent

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs independent tasks; a context manager, as what runs them may have to be held."""

    def __enter__(self) -> Self:
        """Return the executor, ready to run tasks."""

    def __exit__(self, *error: object) -> None:
        """Let go of what was held."""

    @property
    def workers(self) -> int:
        """How many tasks run at the same time."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R]:
        """Yield `function(task)` of every task, in the order of the tasks, each as soon as it is there."""


class _Ready:
    """Holds nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class InProcess(_Ready):
    """Runs tasks one after the other in this process; starts nothing, so small work is done at once.

    cores: that one task may use.
    """

    workers = 1

    def __init__(self, cores: int = 1) -> None:
        self.cores = cores

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R]:
        """Yield `function(task)` of every task, in order."""
        for task in tasks:
            yield single_threaded(function, task, self.cores)


class Processes(_Ready):
    """Runs tasks in `workers` processes of this machine (joblib, loky); `function` and tasks must pickle.

    cores: that they share; None: one each.
    """

    def __init__(self, workers: int, cores: int | None = None) -> None:
        self.workers, self.cores = workers, cores or workers

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R]:
        """Yield `function(task)` of every task, in order."""
        import joblib

        parallel = joblib.Parallel(
            n_jobs=self.workers, backend="loky", return_as="generator", inner_max_num_threads=1
        )
        each = max(1, self.cores // max(1, min(self.workers, len(tasks))))
        results = parallel(joblib.delayed(single_threaded)(function, task, each) for task in tasks)
        try:
            for result in results:  # noqa: UP028 (`yield from` would hand on the closing, unfiltered)
                yield result
        except BrokenProcessPool as error:
            raise BacklightError(
                "a worker process died, perhaps for want of memory; try fewer workers"
            ) from error
        finally:
            with warnings.catch_warnings():  # joblib gives advice when not all results were taken
                warnings.filterwarnings("ignore", "\\d+ tasks which were still being processed")
                results.close()


class Cluster:
    """Runs tasks on a dask cluster whose workers share the files that tasks name; see core/cluster.py."""

    def __init__(self, address: str) -> None:
        self._held, self.address = ExitStack(), address

    def __enter__(self) -> Self:
        """Connect; RequestError when dask.distributed or the cluster is not there."""
        from backlight.core.cluster import connected

        self._client = self._held.enter_context(connected(self.address))
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect."""
        self._held.close()

    @property
    def workers(self) -> int:
        """How many tasks run at the same time, as the scheduler says now."""
        return sum(self._client.nthreads().values())

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Generator[R]:
        """Yield `function(task)` of every task, in order; a task whose worker dies goes to another."""
        from distributed import KilledWorker

        running = [
            self._client.submit(single_threaded, function, task, pure=False, retries=2) for task in tasks
        ]
        try:
            for position, future in enumerate(running):
                yield future.result()
                running[position] = None  # its result may go from the worker's memory
        except KilledWorker as error:
            raise BacklightError(
                "a task brought down every worker that took it, perhaps for want of memory"
            ) from error
        finally:
            self._client.cancel([future for future in running if future is not None])


def single_threaded(function: Callable[[T], R], task: T, cores: int = 1) -> R:
    """Return `function(task)`, computed with one thread in every loaded BLAS and OpenMP library.

    cores: lent to what gives the same bytes for any number of threads.
    """
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1), lent(cores):
        return function(task)


def executor(workers: int | None, tasks: int, cost: float, cluster: str | None = None) -> Executor:
    """Choose where to run: here, when that is about as fast as starting processes, or when one is asked for.

    workers: at most so many processes; None takes one per core. cost: estimated seconds of all tasks
    together. cluster: of dask.distributed, in place of this machine.
    """
    if cluster is not None:
        if workers is not None:
            raise RequestError("workers are counted on this machine; a cluster has its own")
        return Cluster(cluster)
    allowed = (
        os.process_cpu_count()
        if hasattr(os, "process_cpu_count")
        else len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    cores = workers or allowed or 1
    number = min(cores, tasks)
    starting = 4.0  # seconds for processes to start and import numpy, scipy and scikit-learn
    if number <= 1 or (workers is None and cost * (1 - 1 / number) < starting):
        return InProcess(cores)
    return Processes(number, cores)
