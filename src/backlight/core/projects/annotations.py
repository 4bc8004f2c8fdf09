"""What people noted about samples and clusters: a history in one file beside the project; several may write.

The file is a list of events, each with an id of its own, so that the histories of two copies merge by union.
A change reads the file under a lock, adds its event, and replaces the file in one step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backlight.core.errors import FormatError, RequestError
from backlight.core.projects.curation import Curation
from backlight.core.projects.events import (
    CLUSTER_ACTIONS,
    NOTE_LENGTH,
    TAG_ACTIONS,
    UNDO,
    Event,
    checked_name,
    document,
    indices,
    made,
    ranges,
    read_events,
)
from backlight.core.store import atomic_text, exclusive


@dataclass(frozen=True)
class Tag:
    """A named group of samples: (n,) ascending dataset indices, and a note."""

    name: str
    samples: NDArray[np.int64]
    note: str = ""


class Annotations:
    """The annotation file of one project; it need not exist."""

    def __init__(self, project_file: Path) -> None:
        self.path = project_file.with_name(f"{project_file.stem}.annotations.json")
        self._read: tuple[Any, list[Event]] = (None, [])

    def history(self) -> list[Event]:
        """Return every event, oldest first; an unchanged file is not read again."""
        if not self.path.is_file():
            return []
        stat = self.path.stat()
        key = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        seen, events = self._read
        if seen != key:
            events = self._parsed()
            self._read = (key, events)
        return list(events)

    def _parsed(self) -> list[Event]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{self.path} cannot be read ({error})") from error
        return read_events(found, str(self.path))

    def tags(self) -> dict[str, Tag]:
        """Return the tags as the history leaves them, in the order they were made."""
        return replay(self.history())

    def curation(self, place: str) -> Curation:
        """Return what people made of the clusters at "analysis/category/clustering"."""
        return curated(self.history(), place)

    def last(self, place: str = "") -> Event | None:
        """Return the latest change at a place that was not undone. place: of clusters, or "" for all tags."""
        return next((e for e in reversed(effective(self.history())) if e.place == place), None)

    def undone(self, place: str = "") -> Event | None:
        """Return the latest undoing at a place; None when it was undone, or something was done since."""
        return next(reversed(undoings(self.history(), place)), None)

    def change_cluster(self, place: str, do: str, clusters: Sequence[int], name: str = "") -> None:
        """Rename, merge (the first into the second), hide or show a cluster; "" as a name takes it away."""
        text = checked_name(name) if name else ""
        self._record(do, place=place, clusters=",".join(map(str, clusters)), text=text)

    def undo(self, event: Event) -> None:
        """Undo a change; its history stays, and undoing that brings it back.

        Raises RequestError where somebody has done so meanwhile.
        """
        with self._locked():
            events = self.history()
            if event not in (undoings(events, event.place) if event.do == UNDO else effective(events)):
                raise RequestError("somebody has changed this meanwhile")
            self._write([*events, made(UNDO, text=event.id, place=event.place)])

    def tag(self, name: str, indices: ArrayLike) -> None:
        """Add samples to a tag, which is made when it is new."""
        self._record("tag", tag=checked_name(name), samples=ranges(indices))

    def untag(self, name: str, indices: ArrayLike) -> None:
        """Take samples from a tag."""
        self._record("untag", tag=checked_name(name), samples=ranges(indices))

    def note(self, name: str, text: str) -> None:
        """Write the note of a tag."""
        self._record("note", tag=checked_name(name), text=text[:NOTE_LENGTH])

    def remove(self, name: str) -> None:
        """Remove a tag; its history stays."""
        self._record("remove", tag=checked_name(name))

    def merge(self, events: Iterable[Event]) -> int:
        """Add the events that are not there yet, by id; return how many."""
        with self._locked():
            known = self.history()
            ids = {event.id for event in known}
            fresh = [event for event in events if event.id not in ids]
            if fresh:
                self._write(sorted([*known, *fresh], key=lambda event: event.at))
            return len(fresh)

    def _record(self, do: str, **what: str) -> None:
        event = made(do, **what)
        with self._locked():
            self._write([*self.history(), event])

    def _write(self, events: Sequence[Event]) -> None:
        atomic_text(self.path, json.dumps(document(events), ensure_ascii=False, indent=1) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with exclusive(self.path):
                yield
        except OSError as error:
            raise RequestError(f"{self.path} cannot be written ({error.strerror or error})") from error


def effective(events: Iterable[Event]) -> list[Event]:
    """Return the events that count: neither undone nor an undoing."""
    undone: set[str] = set()
    kept = []
    for event in reversed(list(events)):
        if event.do == UNDO:
            undone |= set() if event.id in undone else {event.text}
        elif event.id not in undone:
            kept.append(event)
    return kept[::-1]


def undoings(events: Iterable[Event], place: str) -> list[Event]:
    """Return the undoings at a place that can be undone: since them nothing else was done there."""
    waiting: dict[str, Event] = {}
    for event in events:
        if event.place != place:
            continue
        if event.do != UNDO:
            waiting = {}
        elif waiting.pop(event.text, None) is None:
            waiting[event.id] = event
    return list(waiting.values())


def curated(events: Iterable[Event], place: str) -> Curation:
    """Return what a history makes of the clusters at one place."""
    found = Curation()
    for event in effective(events):
        if event.place == place and event.do in CLUSTER_ACTIONS:
            cluster, *other = map(int, event.clusters.split(","))
            if event.do == "rename":
                found = found.renamed(cluster, event.text)
            elif event.do == "merge":
                found = found.merged(cluster, other[0])
            else:
                found = found.showing(cluster, event.do == "show")
    return found


def replay(events: Iterable[Event]) -> dict[str, Tag]:
    """Return the tags that a history leads to."""
    tags: dict[str, Tag] = {}
    for event in effective(events):
        if event.do not in TAG_ACTIONS:
            continue
        if event.do == "remove":
            tags.pop(event.tag, None)
            continue
        tag = tags.get(event.tag, Tag(event.tag, np.zeros(0, np.int64)))
        if event.do == "tag":
            tag = replace(tag, samples=np.union1d(tag.samples, indices(event.samples)))
        elif event.do == "untag":
            tag = replace(tag, samples=np.setdiff1d(tag.samples, indices(event.samples)))
        else:
            tag = replace(tag, note=event.text)
        tags[event.tag] = tag
    return tags


def tags_of(tags: Mapping[str, Tag], index: NDArray[np.int64]) -> list[list[str]]:
    """Return the names of the tags of each sample."""
    held = {name: np.isin(index, tag.samples) for name, tag in tags.items()}
    return [[name for name, holds in held.items() if holds[k]] for k in range(len(index))]
