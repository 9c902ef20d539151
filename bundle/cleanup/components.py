"""Components of a mask that are too small to be the organ go."""

from __future__ import annotations

import cc3d
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from bundle.geometry import tight_box


def keep_components(
    mask: torch.Tensor, min_share: float = 0.0, min_voxels: int = 0, fill_holes: bool = False
) -> torch.Tensor:
    """Return ``mask`` (X, Y, Z) without its small 26-connected components and, if asked, with its holes filled.

    A component stays if it holds at least ``min_share`` of all true voxels and at least ``min_voxels``; a
    ``min_share`` of 1 keeps the largest alone. Where every component falls short of ``min_share`` the largest stays
    (Zhu 2018, sec. 3.3, doesn't say what to do then). A mask whose components all fall short of ``min_voxels`` becomes
    empty, an empty one stays empty.

    A hole is background of what is kept from which no path over voxel faces leads outside; it is filled last (the code
    that Zhu 2018 builds on does so, https://github.com/yulequan/HeartSeg; the paper doesn't speak of it).
    """
    box = tight_box(mask)
    if box is None:
        return mask
    components = cc3d.connected_components(box.crop(mask).cpu().numpy().astype(np.uint8), connectivity=26)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept = sizes >= min_share * sizes.sum()
    kept[sizes.argmax()] = True
    kept &= sizes >= max(min_voxels, 1)
    inside = kept[components]
    if fill_holes:
        inside = ndimage.binary_fill_holes(inside)
    result = torch.zeros_like(mask)
    box.crop(result)[...] = torch.from_numpy(inside).to(mask.device)
    return result


class KeepComponentsd(MapTransform):
    """Dictionary form of :func:`keep_components` for masks (1, X, Y, Z) as MetaTensor.

    Args:
        keys: masks; above zero is true.
        min_share: of the whole mask.
        min_volume_ml: of one component.
        fill_holes: whether holes of what stays are filled.
    """

    def __init__(
        self,
        keys: KeysCollection,
        min_share: float = 0.0,
        min_volume_ml: float = 0.0,
        fill_holes: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.min_share = min_share
        self.min_volume_ml = min_volume_ml
        self.fill_holes = fill_holes

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            mask: MetaTensor = d[key]
            voxel_ml = abs(float(np.linalg.det(np.asarray(mask.affine)[:3, :3]))) / 1000
            min_voxels = round(self.min_volume_ml / voxel_ml)
            kept = keep_components(mask.as_tensor()[0] > 0, self.min_share, min_voxels, self.fill_holes)
            # A filled hole gets the mask's largest value.
            d[key] = torch.where(mask > 0, mask, mask.max()) * kept if self.fill_holes else mask * kept
        return d
