"""Localize → region: from the localizer's probabilities to the parts of the scan worth a closer look."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import max_pool3d, pad

from bundle.cleanup import keep_components
from bundle.geometry import Box, Grid, as_size, tight_box
from bundle.preprocess.resample import resample


@dataclass(frozen=True)
class Region:
    """A part of the scan to segment: a box and, where not all of the box belongs, a mask.

    Args:
        box: in voxels of the scan's grid.
        mask: bool (X, Y, Z) of the box's size; voxels that are false stay background.
    """

    box: Box
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Localization:
    """What the localizer says of the whole scan.

    Args:
        probability: (K, X, Y, Z) foreground probabilities on ``grid``.
        grid: the localizer's grid over the scan.
        scan_grid: the scan's own grid.
    """

    probability: torch.Tensor
    grid: Grid
    scan_grid: Grid

    def on_scan(self) -> torch.Tensor:
        """Return the probabilities (K, X, Y, Z) on the scan's own grid."""
        return resample(self.probability, self.scan_grid.size)


class RegionRule(ABC):
    """From a :class:`Localization` to regions; none if the organ was not found.

    Args:
        threshold: least probability of the foreground; of several, the next one counts where the last finds nothing.
        min_share: components with a smaller share of the foreground are dropped (1 keeps the largest alone): one stray
            voxel would otherwise ruin a box.
        min_volume_ml: components below this volume are dropped, all of them if need be.
        closing: before that, gaps up to twice as many voxels wide are closed: the foreground is dilated that often by
            the full 3×3×3 cube, then eroded as often.
        on_scan_grid: look at the probabilities on the scan's own grid instead of the localizer's.
    """

    def __init__(
        self,
        threshold: float | Sequence[float] = 0.5,
        min_share: float = 0.0,
        min_volume_ml: float = 0.0,
        on_scan_grid: bool = False,
        closing: int = 0,
    ) -> None:
        self.thresholds = (threshold,) if isinstance(threshold, int | float) else tuple(threshold)
        self.min_share = min_share
        self.min_volume_ml = min_volume_ml
        self.on_scan_grid = on_scan_grid
        self.closing = closing

    def __call__(self, localization: Localization) -> list[Region]:
        """Return the regions, in voxels of the scan's grid."""
        grid = localization.scan_grid if self.on_scan_grid else localization.grid
        probability = localization.on_scan() if self.on_scan_grid else localization.probability
        best = probability.amax(dim=0)
        for threshold in self.thresholds:
            foreground = close(best >= threshold, self.closing)
            foreground = keep_components(foreground, self.min_share, round(self.min_volume_ml / grid.voxel_ml))
            box = tight_box(foreground)
            if box is not None:
                return [self._region(foreground, box, grid, localization.scan_grid)]
        return []

    @abstractmethod
    def _region(self, foreground: torch.Tensor, box: Box, grid: Grid, scan_grid: Grid) -> Region:
        """Return the region for a non-empty ``foreground`` whose tight box on ``grid`` is ``box``."""


class BoxRule(RegionRule):
    """The tight box of the foreground, grown by a margin.

    Args:
        margin_mm: on both sides of each axis, one number or (X, Y, Z).
        margin_voxels: instead, in voxels of the grid that is looked at.
        min_size_mm: after that and inside the scan, the box grows about its middle to at least this size, and moves
            where it would leave the scan: a window's worth of voxels at the border too.
        min_size_voxels: the same in voxels of the scan's grid.
        **foreground: see :class:`RegionRule`.
    """

    def __init__(
        self,
        margin_mm: float | Sequence[float] = 0.0,
        margin_voxels: int = 0,
        min_size_mm: Sequence[float] = (0, 0, 0),
        min_size_voxels: Sequence[int] = (0, 0, 0),
        **foreground: float,
    ) -> None:
        super().__init__(**foreground)  # type: ignore[arg-type]
        self.margin_mm = (margin_mm,) * 3 if isinstance(margin_mm, int | float) else tuple(margin_mm)
        self.margin_voxels = margin_voxels
        self.min_size_mm = tuple(min_size_mm)
        self.min_size_voxels = tuple(min_size_voxels)

    def _region(self, foreground: torch.Tensor, box: Box, grid: Grid, scan_grid: Grid) -> Region:
        box = box.grow([self.margin_voxels] * 3).on(grid, scan_grid)
        box = box.grow([round(mm / s) for mm, s in zip(self.margin_mm, scan_grid.spacing_mm)])
        least_mm = [round(mm / s) for mm, s in zip(self.min_size_mm, scan_grid.spacing_mm)]
        box = box.clip(scan_grid.size).at_least([max(n) for n in zip(least_mm, self.min_size_voxels)])
        return Region(box.shift_inside(scan_grid.size))


class FixedBoxRule(RegionRule):
    """A box of one size about the midpoint of the foreground's tight box, moved to stay inside the scan.

    Args:
        size_mm: (X, Y, Z).
        **foreground: see :class:`RegionRule`.
    """

    def __init__(self, size_mm: Sequence[float], **foreground: float) -> None:
        super().__init__(**foreground)  # type: ignore[arg-type]
        self.size_mm = tuple(size_mm)

    def _region(self, foreground: torch.Tensor, box: Box, grid: Grid, scan_grid: Grid) -> Region:
        size = [round(mm / s) for mm, s in zip(self.size_mm, scan_grid.spacing_mm)]
        return Region(box.on(grid, scan_grid).with_size(size).shift_inside(scan_grid.size))


class MaskRule(RegionRule):
    """The foreground itself, dilated: a voxel mask within its tight box.

    Args:
        dilation: how often the mask is dilated by the full 3×3×3 cube, in voxels of the grid that is looked at.
        **foreground: see :class:`RegionRule`.
    """

    def __init__(self, dilation: int = 3, **foreground: float) -> None:
        super().__init__(**foreground)  # type: ignore[arg-type]
        self.dilation = dilation

    def _region(self, foreground: torch.Tensor, box: Box, grid: Grid, scan_grid: Grid) -> Region:
        box = box.grow([self.dilation] * 3).clip(grid.size)
        mask = dilate(box.crop(foreground), self.dilation)
        scan_box = box.on(grid, scan_grid)
        return Region(scan_box, at_voxels(mask, box, grid, scan_box, scan_grid))


class SeveralRules:
    """The regions of several rules, in order: each is segmented on its own (Zhao 2019, sec. 2.2).

    Args:
        rules: called with the same localization; what one doesn't find, another may.
    """

    def __init__(self, rules: Sequence[RegionRule]) -> None:
        self.rules = tuple(rules)

    def __call__(self, localization: Localization) -> list[Region]:
        """Return the regions of all rules, in voxels of the scan's grid."""
        return [region for rule in self.rules for region in rule(localization)]


def at_voxels(mask: torch.Tensor, box: Box, grid: Grid, scan_box: Box, scan_grid: Grid) -> torch.Tensor:
    """Return, for the voxels of ``scan_box``, the value of ``mask`` (X, Y, Z) on ``box`` of a coarser grid.

    Voxel centres of the scan are looked up on the coarse grid, so that boxes and masks can't drift apart.
    """
    x, y, z = (
        torch.arange(a, b).mul(2).add(1).mul(n).div(2 * m, rounding_mode="floor").sub(start).clamp(0, size - 1)
        for a, b, n, m, start, size in zip(
            scan_box.start, scan_box.stop, grid.size, scan_grid.size, box.start, box.size
        )
    )
    return mask[x][:, y][:, :, z]


def dilate(mask: torch.Tensor, times: int) -> torch.Tensor:
    """Return ``mask`` (X, Y, Z) dilated ``times`` by the full 3×3×3 cube: one voxel becomes a cube of 2·times + 1."""
    if times == 0:
        return mask
    padded = max_pool3d(mask[None, None].float(), kernel_size=2 * times + 1, stride=1, padding=times)
    return padded[0, 0] > 0


def close(mask: torch.Tensor, times: int) -> torch.Tensor:
    """Return ``mask`` (X, Y, Z) dilated ``times`` by the full 3×3×3 cube and then eroded as often."""
    if times == 0:
        return mask
    # Room for the dilation to leave the volume, or the erosion would spare what it pressed against the border.
    roomy = pad(mask, [times] * 6)
    closed = ~dilate(~dilate(roomy, times), times)
    return closed[times:-times, times:-times, times:-times]


def whole_scan(grid: Grid) -> list[Region]:
    """Return the one region that is the whole scan."""
    return [Region(Box((0, 0, 0), as_size(grid.size)))]


class WholeScanRule:
    """The whole scan, whatever the localizer says."""

    def __call__(self, localization: Localization) -> list[Region]:
        """Return the one region."""
        return whole_scan(localization.scan_grid)
