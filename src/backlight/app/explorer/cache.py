"""A least-recently-used cache of byte strings, bounded by their total size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class ByteCache:
    """Keeps the most recently used values while they fit into `limit` bytes; safe between threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._values: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the value of `key`, made by `make` when it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values and len(value) <= self.limit:
                self._values[key] = value
                self.size += len(value)
                while self.size > self.limit:
                    self.size -= len(self._values.popitem(last=False)[1])
        return value

    def __len__(self) -> int:
        return len(self._values)
