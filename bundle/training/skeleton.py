"""The skeleton of the labelled organ as a smooth heat map, for a network to learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage
from skimage.morphology import skeletonize

from bundle.geometry import as_size, tight_box

_TRUNCATE = 4.0  # standard deviations after which the Gaussian ends


class SkeletonTargetd(MapTransform):
    """Add the heat map of :func:`skeleton_heat_map` (1, X, Y, Z), float16, of one label value.

    Nothing here is random: a persistent cache keeps the result, hence the short numbers, if the random transforms come
    later. Those that move voxels must interpolate the heat map as they do an image
    (:class:`~bundle.training.RandPatchd` does so with every key but its ``label_key``).

    Args:
        keys: class indices (1, X, Y, Z).
        output_key: where the heat map goes.
        value: the class.
        mode: see :func:`skeleton_heat_map`.
        sigma_voxels: see :func:`skeleton_heat_map`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_key: str = "skeleton",
        value: int = 1,
        mode: str = "slice",
        sigma_voxels: float = 2.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        _check_mode(mode)
        self.output_key = output_key
        self.value = value
        self.mode = mode
        self.sigma_voxels = sigma_voxels

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            organ = np.asarray(d[key])[0] == self.value
            heat = skeleton_heat_map(organ, self.mode, self.sigma_voxels)[None]
            # A plain tensor, as it comes from a cache: a batch may hold cached and fresh ones.
            d[self.output_key] = torch.from_numpy(heat).half()
        return d


def skeleton_heat_map(mask: np.ndarray, mode: str = "slice", sigma_voxels: float = 2.0) -> np.ndarray:
    """Return the smoothed skeleton of ``mask``, (X, Y, Z) float32 from 0 to 1; zeros for an empty mask.

    Xue 2019, sec. II-B 1: "morphological operation, followed by smoothing with a Gaussian filter". The paper says
    neither in how many dimensions the skeleton is taken, nor how wide the filter is or what the scale.

    Args:
        mask: boolean (X, Y, Z).
        mode: ``slice`` thins each axial slice, across Z, which gives the long connected lines with spurs of the paper's
            fig. 5; ``volume`` gives the curve in space (Lee 1994), which crosses most slices in dots.
        sigma_voxels: standard deviation of the Gaussian, along all three axes. After smoothing, the volume is divided
            by its maximum: thin sheets, as slice by slice they arise, remain higher than lines.
    """
    _check_mode(mode)
    heat = np.zeros(mask.shape, dtype=np.float32)
    box = tight_box(torch.from_numpy(mask))
    if box is None:
        return heat
    # Nothing of the Gaussian reaches beyond this box.
    box = box.grow([math.ceil(_TRUNCATE * sigma_voxels)] * 3).clip(as_size(mask.shape))
    heat[box.slices] = smoothed(skeleton(mask[box.slices], mode), sigma_voxels)
    return heat / heat.max()


def skeleton(mask: np.ndarray, mode: str) -> np.ndarray:
    """Return the skeleton of ``mask`` as boolean (X, Y, Z), by scikit-image; see :func:`skeleton_heat_map`.

    Its thinning isn't the same along all axes: it gets slices as images, rows along Y and columns along X. In space it
    deletes some bodies of even thickness altogether (https://github.com/scikit-image/scikit-image/issues/3757), of
    which we keep the deepest voxels.
    """
    if mode == "volume":
        found = skeletonize(mask.T, method="lee").T > 0
        return found | _deepest_of_the_lost(mask, found)
    result = np.zeros(mask.shape, dtype=bool)
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        result[..., z] = skeletonize(mask[..., z].T).T
    return result


def smoothed(mask: np.ndarray, sigma_voxels: float) -> np.ndarray:
    """Return ``mask`` (X, Y, Z) filtered by a Gaussian, float32, zero outside the volume.

    The peak of a line is 1 / (2πσ²), of a sheet 1 / (√(2π) σ).
    """
    values: Any = mask.astype(np.float32)
    return ndimage.gaussian_filter(values, sigma_voxels, mode="constant", truncate=_TRUNCATE)


def _deepest_of_the_lost(mask: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the voxels farthest from the surface of each 26-connected component of ``mask`` without any in ``found``.

    All arrays are boolean (X, Y, Z).
    """
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    lost = np.setdiff1d(np.arange(1, count + 1), components[found])
    if not len(lost):
        return np.zeros_like(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    most = np.full(count + 1, np.inf)
    most[lost] = ndimage.maximum(depth, components, lost)
    return depth == most[components]


def _check_mode(mode: str) -> None:
    if mode not in ("slice", "volume"):
        raise ValueError(f"mode must be 'slice' or 'volume', got {mode!r}")
