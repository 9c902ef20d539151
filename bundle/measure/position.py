"""Where the gland lies in the patient and in the scan."""

from __future__ import annotations

import numpy as np

from bundle.measure.gland import Gland, plane_distance_mm

_FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def position(gland: Gland) -> dict[str, float]:
    """Return centroid, bounding box and distances to the scan's faces, all in mm.

    ``centroid_{x,y,z}_mm``: the mean of the voxel centres, RAS+. ``box_{x,y,z}_{min,max}_mm``: the smallest box along
    the patient's axes, RAS+, that holds every voxel to its corners. ``border_{face}_mm``: from the nearest face of a
    voxel of the mask to the parallel face of the scan, which is named by the direction it is nearest to, 0 where they
    coincide; ``border_mm`` is the smallest of them.
    """
    found: dict[str, float] = {}
    indices = np.argwhere(gland.inside)
    centres_mm = indices @ gland.affine[:3, :3].T + gland.affine[:3, 3]
    half_voxel_mm = np.abs(gland.affine[:3, :3]).sum(axis=1) / 2
    for axis, centre in zip("xyz", centres_mm.mean(axis=0)):
        found[f"centroid_{axis}_mm"] = float(centre)
    low, high = centres_mm.min(axis=0) - half_voxel_mm, centres_mm.max(axis=0) + half_voxel_mm
    for axis, start, stop in zip("xyz", low, high):
        found[f"box_{axis}_min_mm"], found[f"box_{axis}_max_mm"] = float(start), float(stop)
    return found | _borders(gland, indices)


def _borders(gland: Gland, indices: np.ndarray) -> dict[str, float]:
    plane_mm = plane_distance_mm(gland.affine)
    below = (gland.before + indices.min(axis=0)) * plane_mm
    above = (gland.after + np.array(gland.inside.shape) - 1 - indices.max(axis=0)) * plane_mm
    found = {}
    for axis, (low, high) in enumerate(_FACES):
        found[f"border_{low}_mm"], found[f"border_{high}_mm"] = float(below[axis]), float(above[axis])
    return found | {"border_mm": min(found.values())}
