"""Where a project may read: its own folder and those it was opened with, whatever its files point to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from backlight.core.errors import FormatError


class Roots:
    """Folders that a project's files must lie in, links followed."""

    def __init__(self, *folders: Path) -> None:
        self.folders = tuple(folder.resolve() for folder in folders)

    def holds(self, path: Path) -> bool:
        """Return whether `path`, links followed, lies in one of the folders."""
        found = path.resolve()
        return any(found.is_relative_to(folder) for folder in self.folders)

    def path(self, base: Path, text: Any, where: str) -> Path:
        """Return `base`/`text`; raise FormatError when it is no path or leads out of the folders.

        where: what holds the path, for the message.
        """
        if not isinstance(text, str) or not text or "\0" in text:
            raise FormatError(f"{where} is {text!r}, expected a path relative to the file")
        if not self.holds(base / text):
            raise FormatError(
                f"{where}: {text!r} leads out of {self.folders[0]}; move it there or allow its folder "
                "with --root"
            )
        return base / text

    def check(self, file: h5py.File) -> None:
        """Raise FormatError when an open HDF5 file, or one it refers to, reads from outside the folders."""
        self._check(file, set())

    def _check(self, file: h5py.File, seen: set[Path]) -> None:
        path = Path(file.filename)
        seen.add(path.resolve())
        for name in _references(file):
            where = f"{path}: a link or virtual dataset"
            target = self.path(path.parent, name, where)
            if target.resolve() not in seen and target.is_file():
                try:
                    with h5py.File(target, "r") as other:
                        self._check(other, seen)
                except OSError as error:
                    raise FormatError(f"{target} is not a readable HDF5 file ({error})") from error


def _references(file: h5py.File) -> set[str]:
    """Return the names of the files that an HDF5 file's links and virtual datasets refer to."""
    links: list[tuple[bytes, int]] = []
    # Nothing may be raised in there: it runs inside the HDF5 library.
    file.id.links.visit(lambda name, info: links.append((name, info.type)), info=True)
    found: set[str] = set()
    for name, kind in links:
        if kind == h5py.h5l.TYPE_EXTERNAL:
            found.add(file.id.links.get_val(name)[0].decode(errors="surrogateescape"))
        elif kind == h5py.h5l.TYPE_HARD:
            item = h5py.h5o.open(file.id, name)
            if isinstance(item, h5py.h5d.DatasetID):
                found |= _sources(item, f"{file.filename}: {name.decode(errors='replace')}")
    return found - {"."}


def _sources(dataset: h5py.h5d.DatasetID, where: str) -> set[str]:
    creation = dataset.get_create_plist()
    if creation.get_external_count():
        raise FormatError(f"{where} keeps its values in another file, which is refused")
    if creation.get_layout() != h5py.h5d.VIRTUAL:
        return set()
    return {creation.get_virtual_filename(k) for k in range(creation.get_virtual_count())}
