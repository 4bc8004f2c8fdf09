"""The executor seam: order, one thread, errors, and when other processes are worth starting."""

import os
import time

import pytest
import threadpoolctl

from backlight.core.errors import BacklightError, RequestError
from backlight.core.pipelines.executor import InProcess, Processes, executor
from backlight.core.threads import _lent


def square(x):
    return x * x


def where_and_threads(_):
    import scipy.linalg  # noqa: F401  (loads a BLAS to look at)

    return os.getpid(), max((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1)


def fail(x):
    raise RequestError(f"task {x} failed")


@pytest.mark.parametrize("runner", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_results_come_in_the_order_of_the_tasks(runner):
    assert list(runner.map(square, [3, 1, 2])) == [9, 1, 4]
    assert list(runner.map(square, [])) == []


@pytest.mark.parametrize("runner", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_tasks_have_one_thread(runner):
    for pid, threads in runner.map(where_and_threads, [0, 1]):
        assert threads == 1
        assert (pid == os.getpid()) == isinstance(runner, InProcess)


@pytest.mark.parametrize("runner", [InProcess(), Processes(2)], ids=["in-process", "processes"])
def test_an_error_of_a_task_is_the_callers(runner):
    with pytest.raises(RequestError, match="task 1 failed"):
        list(runner.map(fail, [1]))


def linger(seconds):
    time.sleep(seconds)
    return seconds


def test_who_stops_early_hears_no_advice(recwarn):
    results = Processes(2).map(linger, [0, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert next(results) == 0
    results.close()
    assert [str(w.message) for w in recwarn] == []
    assert list(Processes(2).map(square, [1, 2])) == [1, 4]


def die(_):
    os._exit(1)


def test_a_worker_that_dies_is_an_error_in_a_sentence():
    with pytest.raises(BacklightError, match="a worker process died"):
        list(Processes(2).map(die, [1, 2]))
    assert list(Processes(2).map(square, [1, 2])) == [1, 4]  # and the next run starts new ones


def cores(_):
    return _lent.get()


@pytest.mark.parametrize(
    ("runner", "tasks", "each"),
    [
        (InProcess(), 2, 1),
        (InProcess(3), 2, 3),
        (Processes(2), 2, 1),
        (Processes(2), 1, 2),
        (Processes(2, 5), 4, 2),
    ],
)
def test_cores_that_no_task_takes_are_lent(runner, tasks, each):
    assert list(runner.map(cores, range(tasks))) == [each] * tasks
    assert _lent.get() is None


def test_a_dask_cluster_does_the_same(dask):
    with executor(None, 3, 0.0, dask) as runner:
        assert runner.workers == 2
        assert list(runner.map(square, [3, 1, 2])) == [9, 1, 4]
        assert [threads for _, threads in runner.map(where_and_threads, [0])] == [1]
        with pytest.raises(RequestError, match="task 1 failed"):
            list(runner.map(fail, [1]))
    with pytest.raises(RequestError, match="workers are counted on this machine"):
        executor(2, 3, 0.0, dask)
    with pytest.raises(RequestError, match="cluster 'local:x' is no number of workers"):
        executor(None, 3, 0.0, "local:x").__enter__()


@pytest.mark.parametrize(
    ("workers", "tasks", "cost", "kind"),
    [
        (None, 10, 1.0, InProcess),
        (1, 10, 1e6, InProcess),
        (None, 1, 1e6, InProcess),
        (3, 10, 0.0, Processes),
    ],
)
def test_processes_are_started_when_asked_for_or_worth_it(workers, tasks, cost, kind):
    assert isinstance(executor(workers, tasks, cost), kind)


def test_big_work_takes_every_core_there_is():
    chosen = executor(None, 1000, 1e6)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert (chosen.workers if isinstance(chosen, Processes) else 1) == cores
