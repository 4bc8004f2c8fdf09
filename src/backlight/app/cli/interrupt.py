"""Ctrl-C and SIGTERM as a request to stop at a good place; a second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextlib.contextmanager
def sigterm_as_interrupt(notice: str) -> Iterator[None]:
    """Let SIGTERM, which batch systems send, raise KeyboardInterrupt as Ctrl-C does; both tell `notice`."""
    main = threading.current_thread() is threading.main_thread()  # only there signals can be caught
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    except KeyboardInterrupt:
        if notice:
            click.echo(notice, err=True)
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stopped_by_signals(notice: str) -> Iterator[threading.Event]:
    """Yield an event that the first signal sets, printing `notice`; the second raises KeyboardInterrupt."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        click.echo(notice, err=True)

    if threading.current_thread() is not threading.main_thread():  # only there signals can be caught
        yield stop
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
