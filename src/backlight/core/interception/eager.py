"""Running compiled models uncompiled, for as long as someone explains one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_users = 0
_stance = ExitStack()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let everything compiled by torch.compile run its Python: compiled regions hide their operations.

    torch keeps one stance for the whole process, so the first user sets it and the last one gives it back.
    """
    global _users
    if "torch._dynamo" not in sys.modules:  # nothing can have been compiled, and importing it takes seconds
        yield
        return
    with _lock:
        if _users == 0:
            _stance.enter_context(torch.compiler.set_stance("force_eager"))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _stance.close()
