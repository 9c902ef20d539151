"""What the gland is made of, from its Hounsfield units."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bundle.measure.gland import Gland, plane_distance_mm

EROSION_MM = 1.0
DILATION_MM = 1.0
FAT_HU = (-190.0, -30.0)

_DESCENTS = 50  # rounds of coordinate descent; a slightly sheared voxel needs fewer than ten


def attenuation(gland: Gland) -> dict[str, float | None]:
    """Return ``mean_hu``, ``sd_hu`` and ``hu_voxel_fraction`` of the gland without its outer millimetre.

    A voxel counts if the ball of :data:`EROSION_MM` about its centre lies in the mask, or beyond the scan's border.
    Where no voxel does, as in a gland thinner than 2 mm, all voxels of the mask count. ``hu_voxel_fraction`` is the
    share of the mask's voxels that counted: 1 if nothing was eroded. The standard deviation is that of the population.
    Values that are not finite are left out; all are None if nothing remains, or without an image.
    """
    names = ("mean_hu", "sd_hu", "hu_voxel_fraction")
    if gland.hu is None:
        return dict.fromkeys(names)
    core = ndimage.binary_erosion(gland.inside, ball(gland.affine, EROSION_MM), border_value=1)
    core = core if core.any() else gland.inside
    hu = _finite(gland.hu[core])
    if not len(hu):
        return dict.fromkeys(names)
    share = float(np.count_nonzero(core) / np.count_nonzero(gland.inside))
    return dict(zip(names, (float(hu.mean()), float(hu.std()), share)))


def fat(gland: Gland) -> dict[str, float | None]:
    """Return ``fat_fraction`` in the gland dilated by :data:`DILATION_MM`, and ``fat_fraction_undilated`` in the mask.

    The share of voxels in :data:`FAT_HU`, both ends included, which is the range of adipose tissue (Yoshizumi 1999,
    Radiology 211(1)). Values that are not finite are left out; None if nothing remains, or without an image.
    """
    if gland.hu is None:
        return {"fat_fraction": None, "fat_fraction_undilated": None}
    dilated = ndimage.binary_dilation(gland.inside, ball(gland.affine, DILATION_MM))
    return {
        "fat_fraction": _share_of_fat(gland.hu[dilated]),
        "fat_fraction_undilated": _share_of_fat(gland.hu[gland.inside]),
    }


def ball(affine: np.ndarray, radius_mm: float) -> np.ndarray:
    """Return which voxels a ball about the centre of the middle one reaches, boolean, of odd size (X, Y, Z).

    A voxel is the parallelepiped that the affine makes of it, and reached if any part of it is nearer than
    ``radius_mm``: along an axis with voxels of twice the radius or longer, none but the middle one.
    """
    edges = affine[:3, :3]
    reach = np.ceil(radius_mm / plane_distance_mm(affine)).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).astype(float)
    metric = edges.T @ edges
    nearest = offsets.copy()
    for _ in range(_DESCENTS):
        for axis in range(3):
            others = nearest @ metric[axis] - nearest[..., axis] * metric[axis, axis]
            low, high = offsets[..., axis] - 0.5, offsets[..., axis] + 0.5
            nearest[..., axis] = np.clip(-others / metric[axis, axis], low, high)
    return np.linalg.norm(nearest @ edges.T, axis=-1) < radius_mm


def _share_of_fat(hu: np.ndarray) -> float | None:
    hu = _finite(hu)
    return float(np.mean((hu >= FAT_HU[0]) & (hu <= FAT_HU[1]))) if len(hu) else None


def _finite(hu: np.ndarray) -> np.ndarray:
    return hu[np.isfinite(hu)].astype(np.float64)
