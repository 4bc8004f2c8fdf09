"""Columns of the table of classes: what each says, when it is shown, and in which order rows stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backlight.plugins.viewers.ranking import Row


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, what it explains, what it sorts by, how it is written.

    wide: whether it takes the wide table to be shown.
    """

    key: str
    text: str
    title: str
    value: Callable[[Row], Any]
    form: str = ".2f"
    descending: bool = True
    wide: bool = False


COLUMNS = (
    Column("name", "Class", "Name of the class", lambda row: row.name.lower(), descending=False),
    Column(
        "analysis",
        "Analysis",
        "Which of the project's analyses found it",
        lambda row: row.analysis.lower(),
        descending=False,
        wide=True,
    ),
    Column(
        "suspicion",
        "τ",
        "What classes are ranked by: high values hint at a strategy of its own",
        lambda row: row.suspicion,
    ),
    Column("tau", "τ", "Separability of the clusters", lambda row: row.tau, wide=True),
    Column(
        "baseline", "Chance", "τ of clusters that are none, by chance", lambda row: row.baseline, wide=True
    ),
    Column(
        "contrast", "Contrast", "How far the suspicious cluster stands out", lambda r: r.contrast, wide=True
    ),
    Column("size", "Samples", "Number of samples analysed", lambda row: row.size, ",d"),
    Column("gap", "Gap", "Number of clusters the eigengap suggests", lambda row: row.gap, "d", wide=True),
    Column(
        "smallest", "Smallest", "Share of the smallest cluster", lambda row: row.smallest, ".0%", wide=True
    ),
    Column(
        "accuracy",
        "Accuracy",
        "How much more often than the rest of its class the suspicious cluster is predicted right",
        lambda row: row.accuracy,
        "+.0%",
        wide=True,
    ),
    Column(
        "border",
        "Border",
        "Share of the suspicious cluster's relevance on the border of pictures",
        lambda row: row.border,
        ".0%",
        wide=True,
    ),
    Column(
        "suspect",
        "Suspicious",
        "Most suspicious cluster and its size",
        lambda row: row.suspect and row.suspect[1],
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}
START = {"key": "suspicion", "descending": True}
SCORES = {"tau": "τ", "homophily": "Homophily"}
"""What the column of the ranking is called, by the score that the analysis ranks by."""


def ranked(rows: list[Row], order: dict[str, Any]) -> list[Row]:
    """Return the rows in the chosen order; what is missing goes last either way."""
    value = BY_KEY[order["key"]].value
    known = [row for row in rows if value(row) is not None]
    known.sort(key=value, reverse=order["descending"])
    return known + [row for row in rows if value(row) is None]


def aria(column: Column, order: dict[str, Any]) -> str:
    """Return how a column is sorted, as the attribute aria-sort says it."""
    return "none" if column.key != order["key"] else "descending" if order["descending"] else "ascending"


def kept(column: Column, rows: list[Row], wide: bool) -> bool:
    """Return whether a column is shown: a narrow table has few, a wide one all in which something stands."""
    if not column.wide:
        return True
    if column.key == "tau" and all(row.ranked_by == "tau" for row in rows):
        return False
    if column.key == "analysis" and len({row.analysis for row in rows}) < 2:
        return False
    return wide and any(column.value(row) is not None for row in rows)


def heads(rows: list[Row]) -> list[str]:
    """Return what the columns are called for these rows: that of the ranking by the score that ranks."""
    name = next((row.ranked_by for row in rows), "tau")
    return [SCORES.get(name, name) if column.key == "suspicion" else column.text for column in COLUMNS]


def order_text(order: dict[str, Any], rows: list[Row], found: int) -> str:
    """Return what stands beside the heading: how many rows a filter found, or the order."""
    if found < len(rows):
        return f"{found:,} of {len(rows):,}"
    if all(row.suspicion is None for row in rows):
        return f"{len(rows):,}, not scored"
    if order == START:
        return "by suspicion"
    name = SCORES.get(rows[0].ranked_by, rows[0].ranked_by)
    return f"by {name if order['key'] == 'suspicion' else BY_KEY[order['key']].text}".lower()
