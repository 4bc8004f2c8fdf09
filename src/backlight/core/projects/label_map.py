"""The classes of a project: names, indices, and the analysis categories that stand for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backlight.core.errors import FormatError


@dataclass(frozen=True)
class Label:
    """One class of the label map."""

    index: int
    name: str
    word_net_id: str | None = None

    @property
    def category(self) -> str:
        """Name of the class's group in an analysis file."""
        return self.word_net_id or f"{self.index:08d}"


class LabelMap:
    """The classes of a project, by index and by analysis category."""

    def __init__(self, labels: Iterable[Label]) -> None:
        self.labels = tuple(labels)
        self._by_index = {label.index: label for label in self.labels}
        self._by_category = {label.category: label for label in self.labels}

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> Label:
        """Return the label of a class index; one that the map lacks gets its number as a name."""
        return self._by_index.get(index) or Label(index, f"class {index}")

    def of_category(self, category: str) -> Label | None:
        """Return the class an analysis category stands for, or None for another kind of grouping."""
        if category in self._by_category:
            return self._by_category[category]
        return self.label(int(category)) if category.isdecimal() else None

    def to_json(self) -> str:
        """Return the label map as ViRelAy reads it, which names a category by its word_net_id alone."""
        rows = [{"index": x.index, "word_net_id": x.category, "name": x.name} for x in self.labels]
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> LabelMap:
        """Read a JSON label map; raise FormatError naming the file and entry that does not fit."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return cls(Label(int(r["index"]), str(r["name"]), r.get("word_net_id")) for r in rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"label map {path} cannot be used ({error!r}); "
                'expected [{"index", "word_net_id", "name"}, …]'
            ) from error
