"""Numbers that describe a segmented gland."""

from __future__ import annotations

import math

import cc3d
import numpy as np
from monai.data import MetaTensor

from bundle.measure.attenuation import DILATION_MM, EROSION_MM, attenuation, fat
from bundle.measure.centre_line import centre_line
from bundle.measure.gland import Gland, cut_out
from bundle.measure.lobularity import surface_lobularity_mm
from bundle.measure.position import position

NAMES = (
    "volume_ml",
    "pieces",
    "largest_piece_fraction",
    "mean_hu",
    "sd_hu",
    "hu_voxel_fraction",
    "fat_fraction",
    "fat_fraction_undilated",
    "surface_lobularity_mm",
    "length_mm",
    "mean_calibre_mm",
    "max_calibre_mm",
    "border_mm",
    "border_left_mm",
    "border_right_mm",
    "border_posterior_mm",
    "border_anterior_mm",
    "border_inferior_mm",
    "border_superior_mm",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "box_x_min_mm",
    "box_x_max_mm",
    "box_y_min_mm",
    "box_y_max_mm",
    "box_z_min_mm",
    "box_z_max_mm",
)
"""All measurements, in the order in which they are given; docs/measurements.md defines them."""


def measure(mask: MetaTensor, image: MetaTensor | None = None) -> dict[str, float | None]:
    """Return every measurement of :data:`NAMES`, finite or None; an empty mask has ``volume_ml`` 0 and None elsewhere.

    The result depends on the world the affine describes, not on the order or direction of the voxel axes. Only a box
    around the mask is looked at, whatever the size of the scan.

    Args:
        mask: (1, X, Y, Z) with affine; any voxel but 0 belongs to the gland. Any spacing, oblique or sheared.
        image: the scan in HU on the same voxels, its axes in any order; without it what is in HU is None.

    Raises:
        InputError: an affine that cannot be inverted, more than one channel, or an image on another grid.
    """
    gland = cut_out(mask, image, margin_mm=max(EROSION_MM, DILATION_MM))
    if gland is None:
        return dict.fromkeys(NAMES) | {"volume_ml": 0.0}
    line = centre_line(gland.inside, gland.affine)
    found: dict[str, float | None] = {
        **_amount(gland),
        **attenuation(gland),
        **fat(gland),
        "surface_lobularity_mm": surface_lobularity_mm(gland),
        "length_mm": line.length_mm,
        "mean_calibre_mm": line.mean_calibre_mm,
        "max_calibre_mm": line.max_calibre_mm,
        **position(gland),
    }
    return {name: _finite(found[name]) for name in NAMES}


def _amount(gland: Gland) -> dict[str, float | None]:
    """Return the volume, the number of 26-connected pieces, and the share of the volume that the largest has."""
    sizes = np.bincount(cc3d.connected_components(gland.inside.astype(np.uint8), connectivity=26).ravel())[1:]
    voxels = int(sizes.sum())
    return {
        "volume_ml": voxels * gland.voxel_ml,
        "pieces": len(sizes),
        "largest_piece_fraction": float(sizes.max() / voxels),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
