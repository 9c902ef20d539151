"""What a scan must be before anything is computed on it; every broken rule is an :class:`~bundle.errors.InputError`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bundle.errors import bad_input
from bundle.geometry import spacing_of

MAX_SPACING_MM = 10.0
MIN_SPACING_MM = 0.05
MAX_DISTANCE_MM = 100_000.0  # of a scan from the origin; beyond, the digits of a float are lost to it
MAX_VOXELS_PER_AXIS = 1500
MIN_VOXELS_PER_AXIS = 8

# Up to UPRIGHT_DEGREES off the right angle a grid counts as upright; up to MAX_SHEAR_DEGREES it can be resampled to one
# (:class:`~bundle.preprocess.upright.Uprightd`). Gantries tilt by up to 30 degrees.
UPRIGHT_DEGREES = 1.0
MAX_SHEAR_DEGREES = 30.5

# Fat is found in every abdomen and is below FAT_MAX_HU; organs, muscle and blood are within SOFT_TISSUE_HU.
FAT_MAX_HU = -30.0
SOFT_TISSUE_HU = (-20.0, 250.0)
MIN_TISSUE_SHARE = 0.003
MIN_RANGE_HU = 100.0

_SAMPLES_PER_AXIS = 96


def check_shape(source: Any, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the three sizes of a scan; trailing axes of one voxel (a 4-D file with a single volume) are dropped."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    received = "x".join(map(str, sizes))
    if len(sizes) > 3:
        remedy = "Save the one volume to segment (one phase, one time point) as a file of its own."
        raise bad_input(source, "a scan has three dimensions", f"{len(sizes)} dimensions, {received}", remedy)
    if len(sizes) < 3 or 1 in sizes:
        remedy = "Give the whole series as one volume instead of a single slice."
        raise bad_input(source, "a scan has three dimensions", f"a 2-D image, {received}", remedy)
    if min(sizes) < MIN_VOXELS_PER_AXIS:
        rule = f"a scan has at least {MIN_VOXELS_PER_AXIS} voxels along each axis"
        raise bad_input(source, rule, received, "Give a scan that covers more of the abdomen.")
    if max(sizes) > MAX_VOXELS_PER_AXIS:
        rule = f"a scan has at most {MAX_VOXELS_PER_AXIS} voxels or slices along each axis"
        raise bad_input(source, rule, received, "Crop it to the abdomen, or give the thicker slices.")
    return sizes[0], sizes[1], sizes[2]


def check_affine(source: Any, affine: np.ndarray, max_shear_degrees: float = MAX_SHEAR_DEGREES) -> None:
    """Refuse a (4, 4) voxel-to-mm matrix that is not finite, degenerate, sheared, or of implausible voxel size.

    Args:
        source: file or folder to name in the error.
        affine: (4, 4), in mm.
        max_shear_degrees: how far its axes may be from right angles.
    """
    matrix = np.asarray(affine, dtype=float)
    axes = matrix[:3, :3]
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(axes) < 3:
        rule = "the affine of a scan is finite and invertible"
        raise bad_input(
            source,
            rule,
            np.array2string(matrix, precision=4, separator=",").replace("\n", ""),
            "Convert the scan from DICOM again, for example with dcm2niix.",
        )
    spacing_mm = spacing_of(matrix)
    received = " x ".join(f"{value:.4g}" for value in spacing_mm) + " mm"
    if max(spacing_mm) > MAX_SPACING_MM:
        rule = f"slices and voxels are at most {MAX_SPACING_MM:g} mm apart"
        raise bad_input(source, rule, received, "Give a reconstruction with thinner slices.")
    if min(spacing_mm) < MIN_SPACING_MM:
        rule = f"voxels are at least {MIN_SPACING_MM:g} mm apart"
        raise bad_input(source, rule, received, "Write the spacing in millimetres.")
    if np.abs(matrix[:3, 3]).max() > MAX_DISTANCE_MM:
        rule = f"a scan lies within {MAX_DISTANCE_MM / 1000:g} m of the origin of its coordinates"
        place = ", ".join(f"{value:.4g}" for value in matrix[:3, 3])
        raise bad_input(source, rule, f"({place}) mm", "Convert the scan from DICOM again.")
    check_shear(source, matrix, max_shear_degrees)


def check_shear(source: Any, affine: np.ndarray, max_shear_degrees: float) -> None:
    """Refuse a grid whose axes are further from right angles than ``max_shear_degrees``."""
    shear = shear_degrees(affine)
    if shear > max_shear_degrees:
        limit = "" if max_shear_degrees <= UPRIGHT_DEGREES else f" to {max_shear_degrees:g} degrees"
        raise bad_input(
            source,
            f"the axes of a scan are at right angles{limit} (no gantry tilt)",
            f"{shear:.1f} degrees of tilt",
            "Resample it to an upright grid, for example with dcm2niix, which corrects the tilt.",
        )


def shear_degrees(affine: np.ndarray) -> float:
    """Return the largest angle by which two axes of a (4, 4) voxel-to-mm matrix miss the right angle: gantry tilt."""
    axes = np.asarray(affine, dtype=float)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    return float(np.degrees(np.arcsin(np.clip(np.abs(axes.T @ axes - np.eye(3)).max(), 0, 1))))


def check_voxels(source: Any, voxels: np.ndarray, hounsfield: bool = True) -> None:
    """Refuse NaN, infinite and constant images and, with ``hounsfield``, intensities that are not Hounsfield units.

    The rule for Hounsfield units looks at every n-th voxel: values span more than 100, and some of them (0.3 % each)
    are fat or air (below -30) and some are soft tissue (-20 to 250). Scans scaled to 0-1 or 0-255, z-scores, stored
    values without their intercept (everything 1024 too high or too low) and most MR images break it.

    Args:
        source: file or folder to name in the error.
        voxels: (X, Y, Z), any real type; nothing of its size is allocated.
        hounsfield: also check that the values are Hounsfield units.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if not np.isfinite([low, high]).all():  # the extremes of an array with a NaN are NaN
        received = "NaN or infinite voxels"
        raise bad_input(source, "every voxel is a finite number", received, "Replace them, air is -1000.")
    if low == high:
        remedy = "The export failed or the file is a placeholder: export the scan again."
        raise bad_input(source, "an image shows something", f"the value {low:g} in every voxel", remedy)
    if hounsfield:
        _check_hounsfield(source, voxels, low, high)


def same_grid(affine_a: np.ndarray, affine_b: np.ndarray, shape: Sequence[int]) -> bool:
    """Whether two affines put every corner of a grid of this shape within half a voxel of the same place."""
    corners = np.stack(np.meshgrid(*[(0, size - 1) for size in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    difference = np.asarray(affine_a, dtype=float) - np.asarray(affine_b, dtype=float)
    distances_mm = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1)
    return bool(distances_mm.max() <= 0.5 * min(spacing_of(affine_a)))


def _check_hounsfield(source: Any, voxels: np.ndarray, low: float, high: float) -> None:
    steps = [slice(None, None, max(1, size // _SAMPLES_PER_AXIS)) for size in voxels.shape]
    sample = voxels[tuple(steps)]
    fat_share = float((sample < FAT_MAX_HU).mean())
    soft_share = float(((sample > SOFT_TISSUE_HU[0]) & (sample < SOFT_TISSUE_HU[1])).mean())
    if high - low >= MIN_RANGE_HU and fat_share >= MIN_TISSUE_SHARE and soft_share >= MIN_TISSUE_SHARE:
        return
    received = f"values from {low:g} to {high:g}, {fat_share:.1%} fat or air, {soft_share:.1%} soft tissue"
    raise bad_input(
        source,
        "intensities are Hounsfield units (air -1000, fat -100, organs 20 to 200)",
        received,
        _hounsfield_remedy(low, high),
    )


def _hounsfield_remedy(low: float, high: float) -> str:
    if low >= 0 and 1000 < high < 10000:
        return "Subtract 1024 if these are stored values without their intercept; an MR image cannot be used."
    if low >= 0 and high <= 255 or high - low < MIN_RANGE_HU:
        return "Give the scan before it was windowed or normalised."
    return "Apply the rescale slope and intercept of the DICOM files once."
