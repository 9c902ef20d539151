"""Tubes: the cheapest way between two points, smoothed, and painted into a tissue map."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy import ndimage
from skimage.graph import route_through_array


def route(cost: np.ndarray, waypoints: Sequence[Sequence[float] | np.ndarray], smoothing: float = 1.5) -> np.ndarray:
    """The cheapest way through a positive (X, Y, Z) ``cost`` along ``waypoints``, smoothed, as (N, 3) voxel positions.

    Waypoints outside the grid are moved to its edge; ``smoothing`` is a standard deviation in voxels along the way.
    """
    last = np.array(cost.shape) - 1
    stops = [tuple(np.clip(np.round(point), 0, last).astype(int)) for point in waypoints]
    steps: list[tuple[int, ...]] = [stops[0]]
    for start, end in zip(stops[:-1], stops[1:], strict=True):
        steps += route_through_array(cost, start, end, fully_connected=True, geometric=True)[0][1:]
    way = np.array(steps, dtype=float)
    return ndimage.gaussian_filter1d(way, smoothing, axis=0, mode="nearest") if len(way) > 2 else way


def paint_tube(
    tissues: np.ndarray, way: np.ndarray, radius: float | np.ndarray, tissue: int, over: Collection[int]
) -> None:
    """Set the voxels of ``tissues`` within ``radius`` of the way that now hold one of the tissues ``over``.

    Args:
        way: (N, 3) voxel positions.
        radius: in voxels, one for all or one for each position of the way.
    """
    if len(way) == 0:
        return
    radii = np.broadcast_to(np.asarray(radius, dtype=float), (len(way),))
    fine = np.linspace(0, len(way) - 1, 4 * len(way))
    centres = np.stack([np.interp(fine, np.arange(len(way)), way[:, axis]) for axis in range(3)], axis=1)
    radii = np.interp(fine, np.arange(len(way)), radii)
    reach = int(np.ceil(radii.max())) + 1
    ball = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.round(centres).astype(int)[:, None] + ball
    within = ((voxels - centres[:, None]) ** 2).sum(axis=-1) <= radii[:, None] ** 2
    within &= ((voxels >= 0) & (voxels < tissues.shape)).all(axis=-1)
    index = tuple(voxels[within].T)
    paintable = np.isin(tissues[index], list(over))
    tissues[tuple(i[paintable] for i in index)] = tissue
