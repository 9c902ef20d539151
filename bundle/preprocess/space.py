"""What a stage sees in training: the scan, or the region around the organ, at the stage's spacing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor

from bundle.geometry import Box, Grid, as_size, spacing_of, tight_box
from bundle.preprocess.resample import resample, resample_label


def grid_of(image: MetaTensor) -> Grid:
    """Return the grid of ``image`` (C, X, Y, Z), its spacing taken from the affine."""
    return Grid(as_size(image.shape[-3:]), spacing_of(image.affine))


class CropAroundLabeld(MapTransform):
    """Crop to the box around one label value, grown by a margin: the region that a perfect localizer would give.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid, as MetaTensor; voxels of a plain tensor count as 1 mm.
        label_key: the label that is looked at.
        margin_mm: added on both sides of each axis, cut at the border of the scan.
        margin_voxels: added to that.
        value: the label value.
        size_without_mm: edge lengths of the box about the middle of the scan where the label doesn't occur.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        margin_mm: float = 0.0,
        margin_voxels: int = 0,
        value: int = 1,
        size_without_mm: Sequence[float] = (200, 160, 160),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.margin_mm = margin_mm
        self.margin_voxels = margin_voxels
        self.value = value
        self.size_without_mm = tuple(size_without_mm)

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        box = self._box(convert_to_tensor(d[self.label_key], track_meta=True))
        for key in self.key_iterator(d):
            image: MetaTensor = convert_to_tensor(d[key], track_meta=True)
            d[key] = _with_values(image, box.crop(image.as_tensor()).clone(), box.start, (1, 1, 1))
        return d

    def _box(self, label: MetaTensor) -> Box:
        grid = grid_of(label)
        box = tight_box(label.as_tensor()[0] == self.value)
        if box is None:
            size = [round(mm / s) for mm, s in zip(self.size_without_mm, grid.spacing_mm)]
            return grid.box.with_size(size).clip(grid.size)
        return box.grow([self.margin_voxels + round(self.margin_mm / s) for s in grid.spacing_mm]).clip(grid.size)


class ResampleToSpacingd(MapTransform):
    """Resample images and labels (largest share) to about the spacing asked for.

    The outer voxel edges stay where they are, so that the spacing reached differs by less than half a voxel over the
    whole axis; the affine says what it is. Same arithmetic as the cascade's stages, so that training sees what
    inference will see.

    Args:
        keys: images and labels (C, X, Y, Z), as MetaTensor.
        spacing_mm: along (X, Y, Z); None keeps the scan's own.
        label_keys: those of ``keys`` that hold label values.
        downsample: instead, how many voxels of the scan make one along each axis.
        resampling: method of :func:`~bundle.preprocess.resample.resample`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float] | None = None,
        label_keys: Sequence[str] = ("label",),
        downsample: int = 1,
        resampling: str = "linear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing_mm = None if spacing_mm is None else tuple(spacing_mm)
        self.label_keys = tuple(label_keys)
        self.downsample = downsample
        self.resampling = resampling

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            grid = grid_of(d[key])
            target = grid.resampled(self.spacing_mm or [s * self.downsample for s in grid.spacing_mm])
            change = resample_label if key in self.label_keys else resample
            values = change(d[key].as_tensor(), target.size, self.resampling)
            ratio = [new / old for new, old in zip(target.spacing_mm, grid.spacing_mm)]
            d[key] = _with_values(d[key], values, [(r - 1) / 2 for r in ratio], ratio)
        return d


def _with_values(image: MetaTensor, values: torch.Tensor, start: Sequence[float], ratio: Sequence[float]) -> MetaTensor:
    """Return ``values`` with the affine of ``image``, voxel 0 moved to ``start`` and voxels scaled by ``ratio``."""
    change: Any = np.eye(4)
    change[:3, 3] = start
    change[[0, 1, 2], [0, 1, 2]] = ratio
    affine = torch.as_tensor(np.asarray(image.affine) @ change)
    return MetaTensor(values, meta=dict(image.meta) | {"affine": affine})
