"""The HDF5 files of a project: each opened once, read-only, and only inside the project's folders."""

from __future__ import annotations

import threading
from pathlib import Path

import h5py

from backlight.core.projects.confine import Roots
from backlight.core.store import Rows, open_hdf5


class Files:
    """Keeps the HDF5 files of one project open; safe to share between threads."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._open: dict[Path, h5py.File] = {}
        self._rows: dict[tuple[Path, str], Rows] = {}
        self._lock = threading.Lock()

    def get(self, path: Path) -> h5py.File:
        """Return a file, opened; raise FormatError for one that is none or reads from outside the folders."""
        with self._lock:
            if path not in self._open:
                file = open_hdf5(path)
                try:
                    self._roots.check(file)
                except BaseException:
                    file.close()
                    raise
                self._open[path] = file
            return self._open[path]

    def rows(self, path: Path, key: str) -> Rows:
        """Return one item of a file, whose shards or keys are looked at once and not for every picture."""
        file = self.get(path)
        with self._lock:
            if (path, key) not in self._rows:
                self._rows[path, key] = Rows(file, key)
            return self._rows[path, key]

    def close(self) -> None:
        """Close every file that was opened."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()
            self._rows.clear()
