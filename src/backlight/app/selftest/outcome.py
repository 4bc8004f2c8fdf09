"""The self-test's figures: a CSV table, a verdict in words, scatter plots of clean against poisoned."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from backlight.app.selftest.artefacts import SPREAD
from backlight.app.selftest.network import LATE_LAYER
from backlight.app.selftest.trial import LEARNT, Seen, Trial

MEASURES = (
    "accuracy",
    "inverse",
    "suspicion",
    "homophily",
    "tau",
    "contrast",
    "found",
    "f1",
    "suspicious_f1",
    "knn",
)

_SETTING = ("pipeline", "victim", "other", "artefact", "strength", "seed", "maps")

_SIZE, _MARGIN, _COLOURS = 360, 52, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")


class Verdict(NamedTuple):
    """Means over the trials whose network learnt the artefact, and the largest `found` of all controls.

    ranked, by_tau, by_contrast: share of the poisoned networks that learnt whose suspicion, tau or contrast
    is above that of every clean network. natural: clean networks that go by the artefact themselves.
    """

    learnt: int
    trials: int
    found: float
    f1: float
    suspicious_f1: float
    control_found: float
    ranked: float
    by_tau: float
    by_contrast: float
    natural: int

    @property
    def would_find(self) -> bool:
        """Say whether this pipeline would have found the artefact: most of it, and nothing in controls."""
        return self.learnt > 0 and self.found >= 0.75 and self.f1 >= 0.8 and self.control_found <= 0.01


def verdict(trials: Sequence[Trial]) -> Verdict:
    """Sum the trials up."""
    learnt = [t for t in trials if t.learnt]

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else float("nan")

    def above(score: str) -> float:
        highest = max((getattr(t.clean, score) for t in trials), default=float("nan"))
        return mean([float(getattr(t.poisoned, score) > highest) for t in learnt])

    return Verdict(
        learnt=len(learnt),
        trials=len(trials),
        found=mean([t.poisoned.found for t in learnt]),
        f1=mean([t.poisoned.f1 for t in learnt]),
        suspicious_f1=mean([t.poisoned.suspicious_f1 for t in learnt]),
        control_found=max((t.clean.found for t in trials), default=float("nan")),
        ranked=above("suspicion"),
        by_tau=above("tau"),
        by_contrast=above("contrast"),
        natural=sum(t.natural for t in trials),
    )


def sentence(trials: Sequence[Trial]) -> str:
    """Say in words whether a pipeline would have found an artefact, given its trials; if not, what might."""
    summary, first = verdict(trials), trials[0]
    if not summary.learnt:
        return (
            f"{first.artefact}: no network learnt it (none lost more than {LEARNT:.2f} accuracy by inverse "
            "poisoning), there was nothing to find. Try more epochs or a higher --strength."
        )
    word = "would have found it" if summary.would_find else "would have missed part of it"
    return (
        f"{first.artefact}: {first.pipeline} {word}. {summary.learnt} of {summary.trials} networks learnt "
        f"it, mean found {summary.found:.2f}, F1 {summary.f1:.2f}; found on controls at most "
        f"{summary.control_found:.2f}. Above every clean network rank {summary.ranked:.0%} of them by "
        f"suspicion, {summary.by_tau:.0%} by tau, {summary.by_contrast:.0%} by contrast."
        f"{_advice(summary, first)}"
    )


def _advice(summary: Verdict, trial: Trial) -> str:
    """Return what to try, or to mind; "" where there is nothing to say."""
    said = ""
    if summary.natural:
        said += (
            f" {summary.natural} of {summary.trials} clean networks go by it too (it costs them more than "
            f"{LEARNT:.2f} accuracy), and what is found in their maps is there."
        )
    latent = "@" in trial.pipeline
    if not summary.would_find and trial.artefact in SPREAD and not latent:
        said += (
            " It lies everywhere in a picture, so nowhere in a heatmap: try --pipeline spray-latent@LAYER, a "
            f"layer of the network's second half (spray-latent@{LATE_LAYER} of the built-in network)."
        )
    elif not summary.would_find and trial.artefact not in SPREAD and latent:
        said += " It lies in one place, which heatmaps show and channels do not: try --pipeline spray."
    return said


def table(trials: Sequence[Trial]) -> str:
    """Return CSV with one row per trial and network."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_SETTING, "network", *MEASURES, "drop", "learnt"])
    for trial in trials:
        for network, seen in (("clean", trial.clean), ("poisoned", trial.poisoned)):
            figures = [f"{getattr(seen, name):.4f}" for name in MEASURES]
            setting = [getattr(trial, name) for name in _SETTING]
            writer.writerow([*setting, network, *figures, f"{trial.drop:.4f}", trial.learnt])
    return text.getvalue()


def scatter(trials: Sequence[Trial], measure: str, title: str) -> str:
    """Return an SVG of one measure, clean network on the x axis against poisoned on the y axis."""
    points = [(_value(t.clean, measure), _value(t.poisoned, measure), t) for t in trials]
    values = [v for x, y, _ in points for v in (x, y)] or [0.0, 1.0]
    low, high = _limits(values)
    span = _SIZE - 2 * _MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return _MARGIN + span * (x - low) / (high - low), _SIZE - _MARGIN - span * (y - low) / (high - low)

    (left, bottom), (right, top) = place(low, low), place(high, high)
    colours = {
        a: _COLOURS[i % len(_COLOURS)] for i, a in enumerate(dict.fromkeys(t.artefact for t in trials))
    }
    frame = f'viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" height="{_SIZE}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="sans-serif" font-size="11">',
        f'<rect width="{_SIZE}" height="{_SIZE}" fill="white"/>',
        f'<text x="{_SIZE / 2}" y="20" text-anchor="middle" font-size="13">{escape(title)}</text>',
        f'<rect x="{left}" y="{top}" width="{span}" height="{span}" fill="none" stroke="#888"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{top}" stroke="#aaa" stroke-dasharray="4 3"/>',
        f'<text x="{_SIZE / 2}" y="{_SIZE - 14}" text-anchor="middle">clean</text>',
        f'<text transform="translate(14 {_SIZE / 2}) rotate(-90)" text-anchor="middle">poisoned</text>',
    ]
    for value in np.linspace(low, high, 5):
        x, y = place(value, value)
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{value:.3g}</text>')
        drawn.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for x, y, trial in points:
        px, py = place(x, y)
        name = escape(f"{trial.victim}, {trial.artefact}, seed {trial.seed}: {x:.3g} -> {y:.3g}")
        drawn.append(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="{colours[trial.artefact]}" fill-opacity=".75">'
            f"<title>{name}</title></circle>"
        )
    for number, (artefact, colour) in enumerate(colours.items() if len(colours) > 1 else ()):
        x, y = left + 8, top + 14 + 15 * number
        drawn.append(f'<circle cx="{x + 4}" cy="{y - 4}" r="4" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 12}" y="{y}">{escape(artefact)}</text>')
    return "\n".join([*drawn, "</svg>", ""])


def _value(seen: Seen, measure: str) -> float:
    value = float(getattr(seen, measure))
    return value if np.isfinite(value) else 0.0


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1
    return low - room, high + room
