"""The mean of many heatmaps: what their samples have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backlight.core.errors import BacklightError
from backlight.core.pictures.heatmap import channel_sum

if TYPE_CHECKING:
    from backlight.core.project import Project

AVERAGED = 64
"""At most so many heatmaps are averaged, evenly spaced over the samples."""


def mean_heatmap(project: Project, members: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the mean of some heatmaps, each scaled to its strongest value, (H, W); None if sizes differ."""
    some = members[np.linspace(0, len(members) - 1, min(len(members), AVERAGED)).astype(int)]
    try:
        maps = [channel_sum(project.attributions.relevance(int(index))) for index in some]
    except BacklightError:
        return None
    if not maps or len({m.shape for m in maps}) > 1:
        return None
    found: NDArray[np.float64] = np.mean([m / (np.abs(m).max() or 1.0) for m in maps], axis=0)
    return found
