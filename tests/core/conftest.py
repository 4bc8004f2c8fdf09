"""Fixtures for the core's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def dask() -> Iterator[str]:
    """Return the address of a scheduler and two workers, threads of this process."""
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        yield cluster.scheduler_address
