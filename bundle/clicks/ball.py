"""What a click does without looking at scan or network: it paints a ball."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.clicks.points import Clicks


def paint_balls(mask: np.ndarray, spacing_mm: Sequence[float], clicks: Clicks, radius_mm: float) -> np.ndarray:
    """Return the mask, bool (X, Y, Z), with a ball around each click; where balls overlap, the nearest click counts.

    The measure of what a correction by clicks is worth: anything must do better.

    Args:
        mask: bool (X, Y, Z).
        spacing_mm: (X, Y, Z) of the grid.
        clicks: in voxels of the grid.
        radius_mm: of the balls.
    """
    result = mask.copy()
    nearest_mm = np.full(mask.shape, np.inf, dtype=np.float32)
    painted = [(voxel, True) for voxel in clicks.foreground] + [(voxel, False) for voxel in clicks.background]
    for voxel, value in painted:
        margin = [int(np.ceil(radius_mm / s)) for s in spacing_mm]
        part = tuple(slice(max(0, i - m), i + m + 1) for i, m in zip(voxel, margin))
        axes = [
            (np.arange(n)[one] - i) * s for n, one, i, s in zip(mask.shape, part, voxel, spacing_mm)
        ]
        x, y, z = np.ix_(*axes)
        distance_mm = np.sqrt(x**2 + y**2 + z**2)
        inside = (distance_mm <= radius_mm) & (distance_mm < nearest_mm[part])
        nearest_mm[part][inside] = distance_mm[inside]
        result[part][inside] = value
    return result
