"""The voxels that training looks at: all others are marked in the label as ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from torch import Tensor

from bundle.cascade.region import dilate
from bundle.losses.weighted_ce import IGNORED
from bundle.preprocess.body import body_mask


class BodyRegiond(MapTransform):
    """Mark what is neither body nor labelled as ignored: the region of the first stage, C1 of Roth 2018, sec. 2.2.

    Nothing here is random: a persistent cache keeps the result.

    Args:
        keys: class indices (1, X, Y, Z), uint8.
        image_key: the scan in HU on the same grid.
        step: the body is looked for on one voxel of every ``step`` along each axis, as the paper's is at half the
            resolution, with :func:`~bundle.preprocess.body.body_mask`.
        threshold_hu: the least of the body.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        step: int = 2,
        threshold_hu: float = -500.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.step = step
        self.threshold_hu = threshold_hu

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        image: Tensor = convert_to_tensor(d[self.image_key], track_meta=False)
        body = body_mask(image[0, :: self.step, :: self.step, :: self.step], self.threshold_hu)
        for key in self.key_iterator(d):
            d[key] = ignore_outside(d[key], nearest(body, d[key].shape[1:]))
        return d


class FirstStageRegiond(MapTransform):
    """Mark what is neither near the first stage's foreground nor labelled as ignored: C2 of Roth 2018, sec. 2.2.

    Nothing here is random: a persistent cache keeps the result. Where the first stage found nothing, the labelled
    voxels remain.

    Args:
        keys: class indices (1, X, Y, Z), uint8, of the whole scan in RAS order.
        mask_key: path of the foreground, which :class:`~bundle.training.first_stage.FirstStageMasks` wrote.
        dilation: how often the foreground is dilated by the full 3×3×3 cube, on its own grid. Paper: 3, code: 5. Not
            cut to the body afterwards, which the code does: the cascade doesn't either.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "first_stage",
        dilation: int = 3,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.dilation = dilation

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        found = torch.from_numpy(np.asarray(nib.load(d[self.mask_key]).dataobj) > 0)  # type: ignore[attr-defined]
        region = dilate(found, self.dilation)
        for key in self.key_iterator(d):
            d[key] = ignore_outside(d[key], nearest(region, d[key].shape[1:]))
        return d


class OutsideIsBackgroundd(MapTransform):
    """Set probabilities to 0 where the label is ignored, so that validation sees what the cascade's region would leave.

    Args:
        keys: probabilities (C, X, Y, Z), without the background's.
        label_key: class indices (1 or more, X, Y, Z).
    """

    def __init__(self, keys: KeysCollection, label_key: str = "label", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = d[key] * (d[self.label_key][:1] != IGNORED)
        return d


def ignore_outside(label: Tensor, region: Tensor) -> Tensor:
    """Return ``label`` (1, X, Y, Z) with :data:`IGNORED` where neither it nor ``region``, bool (X, Y, Z), is true."""
    return label.masked_fill(~region[None] & (label == 0), IGNORED)


def nearest(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return ``mask`` (X, Y, Z) on the grid of ``size`` voxels over the same piece, by the voxel each centre lies in.

    Where the size is doubled, voxels 2i and 2i + 1 are voxel i.
    """
    for axis, (n, m) in enumerate(zip(mask.shape, size, strict=True)):
        mask = mask.index_select(axis, (2 * torch.arange(m) + 1) * n // (2 * m))
    return mask
