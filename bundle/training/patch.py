"""Random patches for training, of the shapes that the windows of inference have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from scipy.spatial.transform import Rotation

from bundle.training.displacement import random_displacement
from bundle.training.sampling import random_voxel, sample_at


class RandPatchd(Randomizable, MapTransform):
    """A rotated, scaled and bent patch at a random place: one resampling for the crop and the augmentation.

    Like the windows of :class:`~bundle.cascade.FittedWindowInferer`, a patch is never larger than the scan: along an
    axis where the scan is thinner, the patch is the multiple of ``divisor`` that just covers it, so that the network
    meets thin slabs and not slices repeated. Patches of one batch then differ in size; a batch of several needs
    ``fitted=False``.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid.
        label_key: the key that holds label values; looked up by nearest neighbour.
        patch_size: (X, Y, Z) voxels.
        target: label value on which patches are centred with ``target_prob``, shifted by up to a quarter of a patch;
            the other patches lie anywhere. Without that value in the label all lie anywhere.
        target_prob: probability of a patch around the target.
        rotate_rad: largest rotation about each axis; about z only where the patch is fitted to a thin slab.
        scale_range: sizes are multiplied by a factor between 1 / (1 + ``scale_range``) and 1 + ``scale_range``, and
            each axis by up to 8 % more or less.
        bend: how strongly the patch is deformed: the standard deviation, in its voxels, of the control values of a
            B-spline that lie 32 voxels apart. Organs then differ in shape each time they are seen.
        size_range: each axis of a fitted patch is ``patch_size`` times a random factor in this range. A network with
            instance normalisation sees its window as a whole and must have met windows of the sizes of inference.
        slab_prob: probability that the patch covers a slab only, of two ``divisor`` voxels or more along z.
        fitted: whether patches are fitted to thin scans.
        divisor: sizes of fitted patches are multiples of it, at least two.
    """

    AXIS_SCALE = 0.08
    BEND_SPACING = 32

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        target: int = 1,
        target_prob: float = 0.7,
        rotate_rad: float = 0.15,
        scale_range: float = 0.25,
        bend: float = 0.0,
        size_range: Sequence[float] = (1.0, 1.0),
        slab_prob: float = 0.0,
        fitted: bool = True,
        divisor: int = 8,
    ) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.patch_size = tuple(patch_size)
        self.target = target
        self.target_prob = target_prob
        self.rotate_rad = rotate_rad
        self.scale_range = scale_range
        self.bend = bend
        self.size_range = tuple(size_range)
        self.slab_prob = slab_prob if fitted else 0.0
        self.fitted = fitted
        self.divisor = divisor

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        label = torch.as_tensor(d[self.label_key])
        step = self._random_step()
        most = self._random_size()
        size = self._fitted_size(label.shape[-3:], step, most)
        points = self._points(label, step, size, slab=size[2] < most[2])
        for key in self.key_iterator(d):
            d[key] = sample_at(torch.as_tensor(d[key]), points, "nearest" if key == self.label_key else "bilinear")
        return d

    def _random_step(self) -> np.ndarray:
        """Voxels of the scan per voxel of the patch, along each axis."""
        limit = math.log1p(self.scale_range)
        common = math.exp(self.R.uniform(-limit, limit))
        return 1 / (common * (1 + self.R.uniform(-self.AXIS_SCALE, self.AXIS_SCALE, size=3)))

    def _random_size(self) -> list[int]:
        if not self.fitted:
            return list(self.patch_size)
        smallest, largest = self.size_range
        factors = self.R.uniform(smallest, largest, size=3)
        return [
            round(n * factor / self.divisor) * self.divisor
            for n, factor in zip(self.patch_size, factors, strict=True)
        ]

    def _fitted_size(self, shape: Sequence[int], step: np.ndarray, most: list[int]) -> list[int]:
        if not self.fitted:
            return most
        size = [
            min(limit, max(2, math.ceil(n / s / self.divisor)) * self.divisor)
            for limit, n, s in zip(most, shape, step, strict=True)
        ]
        if self.R.rand() < self.slab_prob:
            size[2] = self.divisor * int(self.R.randint(2, max(2, size[2] // self.divisor) + 1))
        return size

    def _points(self, label: torch.Tensor, step: np.ndarray, size: Sequence[int], slab: bool) -> torch.Tensor:
        """(X, Y, Z, 3) voxel coordinates in the scan of the patch's voxels; a slab stays between its planes."""
        linear = self._rotation(slab) @ np.diag(step)
        axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        if self.bend:
            displacement = random_displacement(self.R, size, self.BEND_SPACING, self.bend)
            offsets += displacement * torch.tensor([1, 1, 0 if slab else 1])
        centre = self._centre(label, np.asarray(size) * step)
        return offsets @ torch.from_numpy(linear.T).float() + torch.from_numpy(centre).float()

    def _centre(self, label: torch.Tensor, extent: np.ndarray) -> np.ndarray:
        """Where the patch of ``extent`` voxels of the scan is centred: inside the scan where it fits."""
        shape = np.asarray(label.shape[-3:])
        organ = label[0].numpy() == self.target
        if organ.any() and self.R.rand() < self.target_prob:
            centre = random_voxel(organ, self.R) + self.R.uniform(-0.25, 0.25, size=3) * extent
        else:
            centre = self.R.uniform(0, 1, size=3) * (shape - 1)
        low, high = (extent - 1) / 2, shape - 1 - (extent - 1) / 2
        return np.where(low <= high, np.clip(centre, low, high), (shape - 1) / 2)

    def _rotation(self, slab: bool) -> np.ndarray:
        angles = self.R.uniform(-self.rotate_rad, self.rotate_rad, size=3)
        if slab:
            angles[:2] = 0
        return Rotation.from_euler("XYZ", angles).as_matrix()
