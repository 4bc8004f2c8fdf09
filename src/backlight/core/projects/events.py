"""Events of the annotation file: what somebody did to samples or clusters, as it stands there.

Whatever is read or made is checked: a name that cannot be, or samples that are no ranges, raise.
"""

from __future__ import annotations

import getpass
import re
import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backlight.core.errors import FormatError, RequestError

TAG_ACTIONS = ("tag", "untag", "note", "remove")
CLUSTER_ACTIONS = ("rename", "merge", "hide", "show")
UNDO = "undo"
ACTIONS = (*TAG_ACTIONS, *CLUSTER_ACTIONS, UNDO)
NAME_LENGTH, NOTE_LENGTH = 80, 4000
LARGEST_INDEX = 1 << 32
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")
_CLUSTERS = re.compile(r"-?\d{1,9}(,-?\d{1,9})?")


@dataclass(frozen=True)
class Event:
    """One change: who did what to which samples or clusters, and when.

    samples: of a tag, as `ranges` writes them. place: "analysis/category/clustering" of clusters.
    clusters: the cluster, and for a merge the one it is counted to, as "3" or "3,1".
    text: a note, a cluster's name, or the id of the event that is undone.
    """

    id: str
    at: str
    by: str
    do: str
    tag: str = ""
    samples: str = ""
    text: str = ""
    place: str = ""
    clusters: str = ""

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        if self.do in TAG_ACTIONS:
            return " ".join(filter(None, [self.do, self.tag, self.samples[:40]]))
        first, _, second = self.clusters.partition(",")
        if self.do == UNDO:
            return "undo"
        if self.do == "rename":
            return f"rename cluster {first} to {self.text}" if self.text else f"unname cluster {first}"
        return f"merge cluster {first} into {second}" if second else f"{self.do} cluster {first}"


def made(do: str, **what: str) -> Event:
    """Return the event of doing something now; RequestError for one that makes no sense."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return _checked(Event(uuid.uuid4().hex, now, _user(), do, **what))


def checked_name(name: Any) -> str:
    """Return a tag's name without surrounding space; raise RequestError when it cannot be one."""
    text = " ".join(name.split()) if isinstance(name, str) else ""
    if not text or len(text) > NAME_LENGTH or any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise RequestError(f"a tag needs a name of 1 to {NAME_LENGTH} printable characters")
    return text


def read_events(document: Any, where: str) -> list[Event]:
    """Return the events of a parsed annotation file; raise FormatError naming what does not fit."""
    listed = document.get("events") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise FormatError(f'{where}: expected {{"version": 1, "events": […]}}')
    return [_event(entry, f"{where}: event {number}") for number, entry in enumerate(listed)]


def _event(entry: Any, where: str) -> Event:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise FormatError(f"{where} is not an object of texts")
    try:
        return _checked(Event(**entry))
    except (TypeError, RequestError) as error:
        raise FormatError(f"{where}: {error}") from error


def _checked(event: Event) -> Event:
    """Return an event whose parts fit what it does; raise RequestError for one that makes no sense."""
    if event.do not in ACTIONS:
        raise RequestError(f"'do' is {event.do!r}, expected one of {', '.join(ACTIONS)}")
    if event.do in TAG_ACTIONS:
        indices(event.samples)
        return replace(event, tag=checked_name(event.tag))
    if event.do in CLUSTER_ACTIONS:
        wanted = 2 if event.do == "merge" else 1
        if not _CLUSTERS.fullmatch(event.clusters) or event.clusters.count(",") != wanted - 1:
            raise RequestError(f"'clusters' is {event.clusters[:40]!r}, expected {wanted} whole numbers")
        if event.place.count("/") < 2:
            raise RequestError(f"'place' is {event.place[:80]!r}, expected analysis/category/clustering")
        return replace(event, text=checked_name(event.text) if event.text else "")
    return event


def document(events: Iterable[Event]) -> dict[str, Any]:
    """Return what `read_events` reads; of an event, what is empty is left out."""
    always = ("id", "at", "by", "do")
    kept = [{key: value for key, value in vars(e).items() if value or key in always} for e in events]
    return {"version": 1, "events": kept}


def ranges(values: ArrayLike) -> str:
    """Return dataset indices as text: "3-7,12"."""
    unique = np.unique(np.asarray(values, dtype=np.int64))
    if not len(unique):
        return ""
    runs = np.split(unique, np.flatnonzero(np.diff(unique) != 1) + 1)
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def indices(text: str) -> NDArray[np.int64]:
    """Return the dataset indices of `ranges`' text, ascending."""
    parts = []
    for part in text.split(",") if text else []:
        found = _RANGE.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < LARGEST_INDEX or last - first > 10_000_000:
            raise RequestError(f"{part[:40]!r} is no range of samples such as 3-7")
        parts.append(np.arange(first, last + 1))
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
