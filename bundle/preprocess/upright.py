"""Scans with gantry tilt, or any other shear, onto a grid at right angles, and masks back onto the scan's own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from scipy import ndimage

from bundle.geometry import Size, as_size
from bundle.read.checks import UPRIGHT_DEGREES, shear_degrees

AIR_HU = -1000.0

_AS_READ = "{}_as_read"


def upright_grid(affine: np.ndarray, shape: Size) -> tuple[np.ndarray, Size]:
    """Return (affine, shape) of the smallest grid along the patient's axes that holds every voxel centre of a grid.

    Its axes run in RAS order. Along each of them the voxels lie as far apart as the given grid's do, so that planes
    which already are at right angles to the axis are kept.

    Args:
        affine: (4, 4), voxel to mm, RAS+, invertible.
        shape: (X, Y, Z).
    """
    affine = np.asarray(affine, dtype=float)
    corners = np.stack(np.meshgrid(*[(0, size - 1) for size in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    corners_mm = corners @ affine[:3, :3].T + affine[:3, 3]
    low_mm, high_mm = corners_mm.min(axis=0), corners_mm.max(axis=0)
    spacing_mm = np.empty(3)
    for axis, world_axis in enumerate(nib.io_orientation(affine)[:, 0].astype(int)):
        spacing_mm[world_axis] = abs(affine[world_axis, axis])
    # a rounding error is no reason for one more plane
    size = as_size(np.ceil((high_mm - low_mm) / spacing_mm - 1e-3) + 1)
    upright = np.diag([*spacing_mm, 1.0])
    upright[:3, 3] = low_mm
    return upright, size


def resample_between(
    volume: np.ndarray, affine: np.ndarray, new_affine: np.ndarray, new_shape: Size, order: int, outside: float
) -> np.ndarray:
    """Return ``volume`` (X, Y, Z) at the places of another grid, of the same type (integers are rounded).

    Args:
        volume: any numbers.
        affine: (4, 4), voxel to mm, of ``volume``; ``new_affine`` likewise of the result.
        new_shape: of the result.
        order: 0 takes the nearest voxel, 1 interpolates linearly.
        outside: value where ``volume`` has none.
    """
    to_old = np.linalg.inv(affine) @ new_affine
    return ndimage.affine_transform(
        volume, to_old[:3, :3], to_old[:3, 3], new_shape, order=order, mode="grid-constant", cval=outside
    )


class Uprightd(MapTransform, InvertibleTransform):
    """Resample sheared scans to the :func:`upright_grid`; an upright scan is passed on as it is.

    The inverse brings what was made from the scan back onto the scan's own grid, integers (masks) by the nearest voxel,
    others (probabilities) linearly, with 0 outside. The scan as it was read is kept in ``data["<key>_as_read"]``, for
    :class:`RestoreAsReadd`.

    Args:
        keys: scans (C, X, Y, Z) in HU, as MetaTensor.
        tolerance_degrees: up to which a scan counts as upright.
        outside: HU where the upright grid leaves the scan.
    """

    def __init__(
        self,
        keys: KeysCollection,
        tolerance_degrees: float = UPRIGHT_DEGREES,
        outside: float = AIR_HU,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.tolerance_degrees = tolerance_degrees
        self.outside = outside

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            scan: MetaTensor = d[key]
            own_affine, own_shape = np.asarray(scan.affine, dtype=float), as_size(scan.shape[1:])
            if shear_degrees(own_affine) <= self.tolerance_degrees:
                self.push_transform(scan, extra_info={"upright": True})
                continue
            affine, shape = upright_grid(own_affine, own_shape)
            d[_AS_READ.format(key)] = scan
            d[key] = _resampled(scan, own_affine, affine, shape, 1, self.outside)
            own = {"upright": False, "affine": own_affine.tolist(), "shape": list(own_shape)}
            self.push_transform(d[key], extra_info=own)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with each key on the scan's own grid again."""
        d = dict(data)
        for key in self.key_iterator(d):
            own = self.pop_transform(d[key])["extra_info"]
            if own["upright"]:
                continue
            order = 1 if d[key].is_floating_point() else 0
            upright = np.asarray(d[key].affine, dtype=float)
            d[key] = _resampled(d[key], upright, np.array(own["affine"]), as_size(own["shape"]), order, 0.0)
        return d


class RestoreAsReadd(MapTransform):
    """Put the scan as it was read back in the place of its upright version, once nothing is inverted any more.

    Masks are on the scan's own grid by then, and pictures and measurements need the scan on the same. Where
    :class:`Uprightd` had nothing to do, nothing changes.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = d.pop(_AS_READ.format(key), d[key])
        return d


def _resampled(
    volume: MetaTensor, affine: np.ndarray, new_affine: np.ndarray, new_shape: Size, order: int, outside: float
) -> MetaTensor:
    values = volume.as_tensor().detach().cpu().numpy()
    moved = np.stack([resample_between(v, affine, new_affine, new_shape, order, outside) for v in values])
    result = MetaTensor(
        torch.from_numpy(moved).to(volume.device),
        meta=dict(volume.meta) | {"affine": torch.from_numpy(new_affine), "spatial_shape": np.array(new_shape)},
        applied_operations=volume.applied_operations,
    )
    return result
