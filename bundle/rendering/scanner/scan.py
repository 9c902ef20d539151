"""A scan as it is stored: whole Hounsfield units and their labels, in some orientation, somewhere in the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from bundle.rendering.draws import uniform
from bundle.rendering.scanner.grid import ScanGrid

PADDING_HU = -1024
HIGHEST_HU = 3071

_SHIFT_MM = (50, 50, 900)  # largest distance between the world's origin and the middle of the lowest slice


@dataclass(frozen=True)
class RenderedScan:
    """A scan and its truth on one grid.

    Args:
        image_hu: (X, Y, Z) int16.
        label: (X, Y, Z) uint8, indices into :data:`bundle.rendering.tissues.CLASSES`.
        affine: 4 x 4 voxel to world, RAS+ in mm; the array may have any orientation.
        facts: how the scan came about, plain values.
    """

    image_hu: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]


def pad_outside_circle(image_hu: Tensor) -> None:
    """Set what lies outside the reconstruction circle of (Z, Y, X) slices to the padding value."""
    _, rows, columns = image_hu.shape
    y = torch.arange(rows, device=image_hu.device) - (rows - 1) / 2
    x = torch.arange(columns, device=image_hu.device) - (columns - 1) / 2
    radius = min(rows, columns) / 2
    image_hu.masked_fill_(y[:, None] ** 2 + x**2 > radius**2, PADDING_HU)


def as_stored(image_hu: Tensor) -> Tensor:
    """Round to int16 within the 12 bits that scanners store; ``image_hu`` is used up."""
    return image_hu.round_().clamp_(PADDING_HU, HIGHEST_HU).to(torch.int16)


def place_in_world(grid: ScanGrid, generator: torch.Generator) -> np.ndarray:
    """Draw where the scan lies: the affine (4, 4) of its (X, Y, Z) array in RAS order, in mm."""
    affine = np.diag([grid.pixel_mm, grid.pixel_mm, grid.increment_mm, 1.0])
    half_mm = 0.5 * grid.pixel_mm * len(grid.x_mm)
    shift_mm = [uniform(generator, -limit, limit) for limit in _SHIFT_MM]
    affine[:3, 3] = np.round(np.array(shift_mm) - [half_mm, half_mm, 0], 3)
    return affine


def reorient(array: np.ndarray, affine: np.ndarray, axcodes: str) -> tuple[np.ndarray, np.ndarray]:
    """Reorder an (X, Y, Z) array in RAS order to ``axcodes``; every voxel stays where it is in the world."""
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axcodes)
    )
    reordered = nib.orientations.apply_orientation(array, change)
    return reordered, affine @ nib.orientations.inv_ornt_aff(change, array.shape)
