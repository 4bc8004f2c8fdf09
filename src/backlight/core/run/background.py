"""One thread that does jobs in order beside the main one, with few waiting, so that memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Background:
    """Does submitted jobs one after another; a job that fails ends all, and its error is raised here.

    waiting: jobs that may wait before `submit` does. error: what a job raised, if one did.
    """

    def __init__(self, waiting: int = 2) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._slots = threading.BoundedSemaphore(waiting)
        self.error: BaseException | None = None

    def submit(self, job: Callable[..., None], *arguments: Any) -> None:
        """Add a job; raise the error of an earlier one."""
        self._slots.acquire()
        self._check()
        self._pool.submit(self._do, job, arguments)

    def _do(self, job: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            if self.error is None:
                job(*arguments)
        except BaseException as error:  # handed to the main thread
            self.error = error
        finally:
            self._slots.release()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def cancel(self) -> None:
        """Drop the jobs that wait, and wait for the one being done."""
        self.error = self.error or RuntimeError("cancelled")
        self._pool.shutdown(wait=True)

    def drain(self) -> None:
        """Wait until every job is done; raise the error of one that failed."""
        self._pool.shutdown(wait=True)
        self._check()
