"""Jejunal loops in the fat around body and tail of the pancreas, which networks take for the gland."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from bundle.rendering.draws import uniform
from bundle.rendering.tissues import Tissue
from bundle.rendering.tubes import paint_tube

_REACH_MM = 45.0


def draw_bowel_loops(
    tissues: np.ndarray, spacing_mm: float, generator: torch.Generator, counts: tuple[int, int] = (3, 7)
) -> None:
    """Draw winding loops, 6-13 mm in radius, into the fat below and in front of the left half of the gland, in place.

    Only visceral fat gives way. Without pancreas or fat there, nothing happens.

    Args:
        tissues: uint8 (X, Y, Z) tissue codes, RAS.
        counts: fewest and most loops.
    """
    gland = np.argwhere(tissues == Tissue.PANCREAS)
    if len(gland) == 0:
        return
    left = gland[gland[:, 0] <= np.median(gland[:, 0])]
    reach = round(_REACH_MM / spacing_mm)
    low = np.maximum(left.min(axis=0) - reach, 0)
    high = np.minimum(left.max(axis=0) + reach, tissues.shape)
    region = tissues[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    depth_mm = ndimage.distance_transform_edt(region == Tissue.FAT) * spacing_mm
    depth_mm[:, : max(0, int(np.percentile(left[:, 1], 20)) - low[1])] = 0  # no bowel behind the gland, nor above it
    depth_mm[:, :, max(0, int(left[:, 2].max()) - low[2]) :] = 0
    for _ in range(round(uniform(generator, *counts))):
        starts = np.argwhere(depth_mm > 5)
        if len(starts) == 0:
            return
        start = starts[int(uniform(generator, 0, len(starts)))]
        radius_mm = uniform(generator, 6, 13)
        way = _winding(start, uniform(generator, 50, 120) / spacing_mm, 25 / spacing_mm, generator)
        inside = ((way >= 0) & (way <= np.array(region.shape) - 1)).all(axis=1)
        way = way[: len(way) if inside.all() else max(1, int(np.argmin(inside)))]
        paint_tube(region, way, radius_mm / spacing_mm, Tissue.BOWEL, over=(Tissue.FAT,))
        depth_mm[region != Tissue.FAT] = 0


def _winding(start: np.ndarray, length: float, turn: float, generator: torch.Generator) -> np.ndarray:
    """(N, 3) way in voxels that leaves ``start`` and turns at random about every ``turn`` voxels."""
    count = max(2, round(length))
    direction = torch.randn(count, 3, generator=generator).numpy()
    direction = ndimage.gaussian_filter1d(direction, turn / 2, axis=0, mode="nearest")
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-6
    return start + np.cumsum(direction, axis=0)
