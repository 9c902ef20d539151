"""Masks from different files, compared voxel by voxel where they lie in millimetres."""

from __future__ import annotations

from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Voxels = set[tuple[int, ...]]


def voxels_of(segmentation: pydicom.Dataset, affine: np.ndarray) -> Voxels:
    """Return the voxels that highdicom sees the segment in, of the grid with this affine."""
    parsed = highdicom.seg.Segmentation.from_dataset(segmentation)
    volume = parsed.get_volume(combine_segments=True, allow_missing_positions=True)
    return on_grid(volume.array > 0, LPS_TO_RAS @ volume.affine, affine)


def mask_of(path: Path, affine: np.ndarray | None = None) -> tuple[Voxels, np.ndarray]:
    """Return the voxels of label 1, on another grid if its affine is given, and that grid's affine."""
    image = nib.load(path)
    grid = image.affine if affine is None else affine
    return on_grid(np.asanyarray(image.dataobj) == 1, image.affine, grid), grid


def on_grid(mask: np.ndarray, affine: np.ndarray, grid: np.ndarray) -> Voxels:
    """Return the voxels of a mask as indices of another grid, on whose voxels they lie within a hundredth of a voxel.

    ``affine`` is the mask's, to RAS+ mm, ``grid`` that of the grid.
    """
    to_grid = np.linalg.inv(grid) @ affine
    indices = np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]
    assert np.abs(indices - indices.round()).max() < 0.01
    return set(map(tuple, indices.round().astype(int).tolist()))


def dice(one: Voxels, other: Voxels) -> float:
    return 2 * len(one & other) / (len(one) + len(other))
