"""Regions of one size around the labelled organ, as a fixed-size region rule cuts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable

from bundle.geometry import Box, Grid, as_size, tight_box
from bundle.preprocess.space import CropAroundLabeld, grid_of


class CropFixedAroundLabeld(CropAroundLabeld):
    """Crop to a box of one size about the middle of the label's tight box, moved to stay inside the scan.

    What :class:`~bundle.cascade.FixedBoxRule` gives with a perfect localizer. Without the label the box lies about the
    middle of the scan; an axis shorter than the box is kept whole.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid, as MetaTensor.
        label_key: the label that is looked at.
        size_mm: (X, Y, Z).
        value: the label value.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        size_mm: Sequence[float],
        value: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, label_key, margin_mm=0, value=value, allow_missing_keys=allow_missing_keys)
        self.size_mm = tuple(size_mm)

    def _box(self, label: MetaTensor) -> Box:
        grid = grid_of(label)
        size = [round(mm / s) for mm, s in zip(self.size_mm, grid.spacing_mm)]
        return _fixed_box(label.as_tensor()[0] == self.value, size)


class RandCropFixedAroundLabeld(Randomizable, MapTransform):
    """Crop to a box of one size about the middle of the label's tight box, moved at random but inside the volume.

    The region of the second stage in the training of Xue 2019, which says "the images of pancreas regions" only; the
    shift stands for the errors of the first stage. Sizes are (X, Y, Z) here, the paper's region is 128×224×224.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid.
        label_key: the label that is looked at; without ``value`` in it the box lies about the middle of the volume.
        size: voxels; an axis shorter than that is kept whole.
        jitter: largest shift along each axis, in voxels, to either side.
        value: the label value.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        size: Sequence[int] = (224, 224, 128),
        jitter: Sequence[int] = (16, 16, 8),
        value: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.size = as_size(size)
        self.jitter = as_size(jitter)
        self.value = value

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        shift = [int(self.R.randint(-most, most + 1)) for most in self.jitter]
        organ = np.asarray(d[self.label_key])[0] == self.value
        box = _fixed_box(torch.from_numpy(organ), self.size, shift)
        for key in self.key_iterator(d):
            d[key] = box.crop(d[key])
        return d


def _fixed_box(mask: torch.Tensor, size: Sequence[int], shift: Sequence[int] = (0, 0, 0)) -> Box:
    """Return the box of ``size`` about the middle of ``mask`` (X, Y, Z), moved by ``shift``, then inside the volume."""
    whole = as_size(mask.shape)
    box = (tight_box(mask) or Grid(whole, (1, 1, 1)).box).with_size(size)
    moved = Box(as_size(a + s for a, s in zip(box.start, shift)), as_size(b + s for b, s in zip(box.stop, shift)))
    return moved.shift_inside(whole)
