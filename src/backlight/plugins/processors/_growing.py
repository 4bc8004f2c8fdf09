"""Growing a core: every map that shows what the core shows belongs to it, however faintly (Efron 2008).

Template: the features on which the core's contrast (contrast.py) is at least half of its largest, weighted
by contrast over deviation. A map's score is its product with the template. Scores are modelled as a mixture
of two normal densities, one for the core's kind and one for the rest, fitted by EM (Dempster et al. 1977)
from core and rest; a map belongs where its share of the core's density, one minus Efron's local false
discovery rate, is `certainty` or more. The core stays in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backlight.plugins.processors.contrast import effects

Array = NDArray[Any]
Mask = NDArray[np.bool_]

_STEPS, _CLOSE = 200, 1e-6


def grown(features: Array, core: Mask, certainty: float, least: int) -> Mask:
    """Return the core and the maps that join it: (N, D), (N,) -> (N,); the core alone where too many would.

    least: samples that must stay outside.
    """
    contrast = effects(features, core[:, None])[0]
    if contrast.max() <= 0 or core.all():
        return core
    score = _score(features, contrast)
    joined = core | ((_share(score, core) >= certainty) & (score > score[~core].mean()))
    return joined if (~joined).sum() >= least else core


def template(contrast: Array) -> Array:
    """Return the features on which a contrast (D,) is at least half of its largest."""
    return np.flatnonzero(contrast >= contrast.max() / 2)


def _score(features: Array, contrast: Array) -> Array:
    """Return how much of the core's template each map shows, in deviations of all maps, (N,)."""
    used = template(contrast)
    points = features[:, used].astype(np.float64)
    deviation = points.std(axis=0)
    score = points @ (contrast[used] / np.maximum(deviation, deviation.mean()))
    return (score - score.mean()) / max(float(score.std()), np.finfo(np.float64).tiny)


def _share(score: Array, core: Mask) -> Array:
    """Return each score's share of density from the core's component after EM from core and rest, (N,)."""
    inside = core.astype(np.float64)
    for _ in range(_STEPS):
        before = inside
        inside = _expected(score, inside)
        if np.abs(inside - before).max() < _CLOSE:
            break
    return inside


def _expected(score: Array, inside: Array) -> Array:
    """Return one EM step's shares."""
    logs = []
    for weight in (inside, 1 - inside):
        total = max(float(weight.sum()), _CLOSE)
        mean = (weight @ score) / total
        variance = max(float(weight @ np.square(score - mean)) / total, 1e-4)
        logs.append(np.log(total) - 0.5 * np.log(variance) - 0.5 * np.square(score - mean) / variance)
    return np.asarray(1 / (1 + np.exp(np.clip(logs[1] - logs[0], -500, 500))))
