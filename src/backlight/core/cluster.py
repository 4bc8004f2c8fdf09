"""Where dask.distributed is reached: a scheduler by its address, or workers of this machine."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backlight.core.errors import RequestError

_LOCAL = re.compile(r"local:([1-9]\d*)")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield a client of the scheduler at `address`, or of N workers of this machine for "local:N".

    Raises RequestError when dask.distributed or the cluster is not there.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise RequestError(
            "--cluster needs dask.distributed; try `pip install 'backlight[cluster]'`"
        ) from None
    if local := _LOCAL.fullmatch(address):
        with (
            distributed.LocalCluster(
                n_workers=int(local[1]),
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
                preload=["backlight.core.run.worker"],
                silence_logs=logging.ERROR,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client
        return
    if address.startswith("local"):
        raise RequestError(f"cluster {address!r} is no number of workers; expected e.g. local:2")
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"no dask scheduler answers at {address!r}: {error}; expected local:N or e.g. tcp://HOST:8786"
        ) from error
    with client:
        yield client
