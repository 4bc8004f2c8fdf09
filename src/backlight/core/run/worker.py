"""Loaded by workers of this machine: a terminal sends Ctrl-C to them, too, but it is the command's to answer.

The command asks for no further shards then, and the workers finish those in flight.
"""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C in the worker's process; called by dask.distributed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
