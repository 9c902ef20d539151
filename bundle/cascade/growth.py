"""Regions that were drawn too tight: larger where what was found in them reaches their wall."""

from __future__ import annotations

import torch

from bundle.cascade.region import Region
from bundle.cleanup import keep_components
from bundle.geometry import Box, Grid, as_size


class Growth:
    """Move a wall of the region outwards where the segmented organ touches it; the border of the scan is no such wall.

    Args:
        step_mm: how far, each time.
        times: how often at most.
        threshold: least probability of the organ.
        min_share: components with a smaller share of the organ don't count: a speck at the wall is no reason.
    """

    def __init__(self, step_mm: float = 25.0, times: int = 2, threshold: float = 0.5, min_share: float = 0.1) -> None:
        self.step_mm = step_mm
        self.times = times
        self.threshold = threshold
        self.min_share = min_share

    def __call__(self, region: Region, probability: torch.Tensor, scan_grid: Grid) -> Region | None:
        """Return the larger region, or None if there is no reason to grow.

        Args:
            region: a box; one with a mask is never grown, since its shape was meant. The whole scan can't grow.
            probability: (K, X, Y, Z) of the box, on any grid over it.
            scan_grid: the scan's own grid.
        """
        if region.mask is not None or region.box == scan_grid.box:
            return None
        organ = keep_components(probability.amax(dim=0) >= self.threshold, self.min_share)
        start, stop = list(region.box.start), list(region.box.stop)
        for axis, spacing_mm in enumerate(scan_grid.spacing_mm):
            step = round(self.step_mm / spacing_mm)
            if organ.select(axis, 0).any():
                start[axis] -= step
            if organ.select(axis, -1).any():
                stop[axis] += step
        grown = Box(as_size(start), as_size(stop)).clip(scan_grid.size)
        return None if grown == region.box else Region(grown)
