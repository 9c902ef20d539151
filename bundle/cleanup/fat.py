"""Clefts of fat between the lobules of the pancreas are no part of it to those who outline it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from bundle.geometry import spacing_of, tight_box

FAT_HU = -95.0
SMOOTH_MM = 0.75


def leave_out_fat(
    mask: torch.Tensor,
    image_hu: torch.Tensor,
    spacing_mm: Sequence[float],
    fat_hu: float = FAT_HU,
    smooth_mm: float = SMOOTH_MM,
) -> torch.Tensor:
    """Return ``mask`` (X, Y, Z) without the voxels that are nearer to fat than to the gland.

    They are darker than the middle between ``fat_hu`` and the median of the mask, where half of a voxel is fat: the
    median follows contrast phase and fatty degeneration. The image is smoothed within the mask first, so that noise
    doesn't drill holes. Experts leave wide clefts out, see docs/rendered_ct.md; how much it brings is in
    docs/results.md.

    An empty mask stays empty, and one whose median is that of fat stays as it is: nothing becomes empty.

    Args:
        mask: boolean.
        image_hu: in Hounsfield units, on the grid of the mask.
        spacing_mm: voxel size along X, Y, Z.
        fat_hu: Hounsfield units of fat.
        smooth_mm: standard deviation of the Gaussian.
    """
    box = tight_box(mask)
    if box is None:
        return mask
    inside = box.crop(mask).cpu().numpy()
    hu = box.crop(image_hu).float().cpu().numpy()
    median_hu = float(np.median(hu[inside]))
    if median_hu <= fat_hu:
        return mask
    sigma = [smooth_mm / size for size in spacing_mm]
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="constant", truncate=3)
    smooth = ndimage.gaussian_filter(hu * inside, sigma, mode="constant", truncate=3) / np.maximum(weight, 1e-6)
    gland = inside & (smooth >= (median_hu + fat_hu) / 2)
    if not gland.any():
        return mask
    result = torch.zeros_like(mask)
    box.crop(result)[...] = torch.from_numpy(gland).to(mask.device)
    return result


class LeaveOutFatd(MapTransform):
    """Dictionary form of :func:`leave_out_fat` for masks (1, X, Y, Z) as MetaTensor.

    Args:
        keys: masks; above zero is true.
        image_key: the scan in HU, on the grid of the masks.
        fat_hu: Hounsfield units of fat; None leaves masks as they are.
        smooth_mm: standard deviation of the Gaussian.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        fat_hu: float | None = FAT_HU,
        smooth_mm: float = SMOOTH_MM,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.fat_hu = fat_hu
        self.smooth_mm = smooth_mm

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        if self.fat_hu is None:
            return d
        for key in self.key_iterator(d):
            mask: MetaTensor = d[key]
            image_hu = torch.as_tensor(d[self.image_key])[0]
            inside = mask.as_tensor()[0] > 0
            d[key] = mask * leave_out_fat(inside, image_hu, spacing_of(mask.affine), self.fat_hu, self.smooth_mm)
        return d
