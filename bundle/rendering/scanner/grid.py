"""The field of view: which part of the painted body is scanned, and where slices, rows and columns lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.errors import bad_input
from bundle.rendering.draws import chance, integer, uniform
from bundle.rendering.scanner.settings import ScannerSettings
from bundle.rendering.tissues import Tissue

MIN_SLICES = 8
"""Fewer are no scan that the bundle's readers accept."""

TISSUE_DENSITY = 500.0
"""HU above air from which a voxel belongs to the body."""


@dataclass(frozen=True)
class ScanGrid:
    """Centres of the scan's slices, rows and columns in mm from the outer edge of the first painted voxel.

    Args:
        z_mm: of the slices, upwards.
        y_mm: of the rows, to the front.
        x_mm: of the columns, to the patient's right.
        thickness_mm: over which a slice averages.
        increment_mm: from slice to slice.
        pixel_mm: from row to row and from column to column.
    """

    z_mm: Tensor
    y_mm: Tensor
    x_mm: Tensor
    thickness_mm: float
    increment_mm: float
    pixel_mm: float

    @property
    def overlap(self) -> float:
        """Share of a slice that the next one covers too."""
        return max(0.0, 1 - self.increment_mm / self.thickness_mm)

    @property
    def voxel_ml(self) -> float:
        """Volume that a voxel stands for."""
        return self.pixel_mm**2 * self.increment_mm / 1000


def draw_length(
    label: Tensor, spacing_mm: float, thickness_mm: float, generator: torch.Generator, settings: ScannerSettings
) -> tuple[float, float, str]:
    """Draw bottom and top of the scan in mm from the lowest slice of ``label`` (Z, Y, X), and say what it shows.

    Raises:
        InputError: a scan without pancreas was drawn and the body ends too close to the gland, above and below.
    """
    length_mm = len(label) * spacing_mm
    gland_voxels = (label == Tissue.PANCREAS).flatten(1).sum(1)
    gland = gland_voxels.nonzero()
    low_mm, high_mm = (float(gland[0]) * spacing_mm, float(gland[-1] + 1) * spacing_mm) if len(gland) else (0.0, 0.0)
    without = chance(generator, settings.share_without_pancreas)
    slab = chance(generator, settings.share_slab)
    if without and len(gland):
        return *_beside_gland(low_mm, high_mm, length_mm, thickness_mm, generator, settings), "without pancreas"
    if slab:
        wanted_mm = min(max(uniform(generator, *settings.slab_mm), MIN_SLICES * thickness_mm), length_mm)
        middles_mm = (0.0, length_mm)
        if len(gland):
            first_mm, last_mm = _holding(gland_voxels, settings.slab_gland_share, spacing_mm)
            middles_mm = max(low_mm, first_mm - wanted_mm / 2), min(high_mm, last_mm + wanted_mm / 2)
        middle_mm = uniform(generator, *middles_mm)
        bottom_mm = min(max(middle_mm - wanted_mm / 2, 0.0), length_mm - wanted_mm)
        return bottom_mm, bottom_mm + wanted_mm, "slab"
    spare_below_mm, spare_above_mm = max(low_mm - 25, 0.0), max(length_mm - high_mm - 25, 0.0)
    bottom_mm = uniform(generator, 0, 0.9) ** 2 * spare_below_mm if len(gland) else 0.0
    cut_mm = uniform(generator, 0, 0.9) ** 2 * spare_above_mm if len(gland) else 0.0
    return bottom_mm, length_mm - cut_mm, "abdomen"


def _holding(gland_voxels: Tensor, share: float, spacing_mm: float) -> tuple[float, float]:
    """Return how high a slab must reach, and how low, to hold that share of the gland, in mm."""
    below = gland_voxels.cumsum(0) / gland_voxels.sum()
    first, last = int((below < share).sum()), int((below <= 1 - share).sum())
    return (first + 1) * spacing_mm, last * spacing_mm


def draw_grid(
    density: Tensor,
    spacing_mm: float,
    length_mm: tuple[float, float],
    thickness_mm: float,
    generator: torch.Generator,
    settings: ScannerSettings,
) -> ScanGrid:
    """Draw a grid around the body, from bottom to top in ``length_mm``; ``density`` (Z, Y, X) is HU above air."""
    device = density.device
    bottom_mm, top_mm = length_mm
    overlapping = chance(generator, settings.share_overlapping)
    step = uniform(generator, 0.5, 0.95) if overlapping else 1.0
    increment_mm = round(thickness_mm * step, 3)  # as DICOM's decimal text holds it
    slices = max(1, math.floor((top_mm - bottom_mm - thickness_mm) / increment_mm) + 1)
    z_mm = bottom_mm + thickness_mm / 2 + increment_mm * torch.arange(slices, device=device, dtype=torch.float32)

    body = (density > TISSUE_DENSITY).any(0)
    sides_mm = [_extent_mm(body.any(axis), spacing_mm) for axis in (1, 0)]
    widest_mm = max(high - low for low, high in sides_mm)
    cropped = chance(generator, settings.share_lateral_crop)
    view_mm = widest_mm * (uniform(generator, 0.78, 0.97) if cropped else uniform(generator, 1.02, 1.35))
    low, high = settings.in_plane_spacing_mm
    pixel_mm = round(min(max(uniform(generator, low, high), view_mm / settings.max_matrix), high), 4)
    pixels = max(8, min(settings.max_matrix, round(view_mm / pixel_mm)))
    offsets_mm = pixel_mm * (torch.arange(pixels, device=device, dtype=torch.float32) - (pixels - 1) / 2)
    middles_mm = [(low + high) / 2 + uniform(generator, -0.02, 0.02) * view_mm for low, high in sides_mm]
    y_mm = offsets_mm + middles_mm[0] - uniform(generator, 0.02, 0.09) * view_mm  # room for the table
    return ScanGrid(z_mm, y_mm, offsets_mm + middles_mm[1], thickness_mm, increment_mm, pixel_mm)


def _beside_gland(
    low_mm: float,
    high_mm: float,
    length_mm: float,
    thickness_mm: float,
    generator: torch.Generator,
    settings: ScannerSettings,
) -> tuple[float, float]:
    gap_mm = uniform(generator, *settings.gap_mm)
    shortest_mm = max(MIN_SLICES * thickness_mm, settings.slab_mm[0])
    for needed_mm in (gap_mm + thickness_mm, settings.gap_mm[0] + thickness_mm):
        below, above = (0.0, low_mm - needed_mm), (high_mm + needed_mm, length_mm)
        fitting = [room for room in (below, above) if room[1] - room[0] >= shortest_mm]
        if fitting:
            bottom_mm, top_mm = fitting[integer(generator, len(fitting))]
            kept_mm = uniform(generator, shortest_mm, top_mm - bottom_mm)
            return (top_mm - kept_mm, top_mm) if bottom_mm == 0 else (bottom_mm, bottom_mm + kept_mm)
    raise bad_input(
        "share_without_pancreas",
        f"the anatomy reaches {shortest_mm:.0f} mm beyond the gap above or below the pancreas",
        f"{low_mm:.0f} mm below and {length_mm - high_mm:.0f} mm above it",
        "Use an anatomy that covers more of the body, or set it to 0.",
    )


def _extent_mm(occupied: Tensor, spacing_mm: float) -> tuple[float, float]:
    """Low and high end of the true entries; the whole row where there is none."""
    indices = occupied.nonzero()
    if len(indices) == 0:
        return 0.0, len(occupied) * spacing_mm
    return float(indices[0]) * spacing_mm, float(indices[-1] + 1) * spacing_mm
