"""Which samples a search finds: words that stand anywhere, and filters of single columns.

`label:dog prediction:"polar bear" is:wrong confidence<70%` holds where all of it does; whatever is no filter
is searched for as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backlight.core.projects.table import Table

Found = NDArray[np.bool_]

FILTERS = "Words, or filters: label:dog is:wrong confidence<70% prediction: cluster: tag: file: index:"
"""What can be searched for, in one line."""

_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
_CONFIDENCE = re.compile(r"confidence([<>])(\d{1,3}(?:\.\d{1,9})?|\.\d{1,9})(%?)")


def found(search: str, columns: Mapping[str, Sequence[str]], facts: Table) -> Found:
    """Return which samples a search finds, (n,) bool. columns: what stands in each, by the filter's name."""
    folded = {name: [text.casefold() for text in texts] for name, texts in columns.items()}
    held, rest = np.ones(len(facts.index), dtype=bool), []
    for word in _WORD.findall(search.casefold()):
        filtered = _filtered(word, folded, facts)
        if filtered is None:
            rest.append(word)
        else:
            held &= filtered
    phrase = " ".join(rest)
    return held & np.array(
        [any(phrase in text for text in row) for row in zip(*folded.values(), strict=True)]
    )


def _filtered(word: str, folded: Mapping[str, Sequence[str]], facts: Table) -> Found | None:
    """Return which samples a filter lets through; None for a word that is none."""
    name, colon, value = word.partition(":")
    if colon and name == "is":
        return _state(value, facts)
    if colon and name in folded and value:
        wanted = value.replace('"', "")
        return np.array([wanted in text for text in folded[name]], dtype=bool)
    bound = _CONFIDENCE.fullmatch(word)
    if bound is None:
        return None
    limit = float(bound[2]) / (100 if bound[3] else 1)
    return facts.confidence < limit if bound[1] == "<" else facts.confidence > limit


def _state(name: str, facts: Table) -> Found | None:
    if name in ("correct", "wrong"):
        return facts.correct == (name == "correct")
    if name in ("training", "test"):
        unknown = np.zeros(len(facts.index), dtype=bool)
        return unknown if facts.training is None else facts.training == (name == "training")
    return None
