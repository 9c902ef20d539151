"""Random patches, smoothly deformed, for a network that reads more than it answers for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from scipy.spatial.transform import Rotation
from torch import Tensor

from bundle.geometry import as_size
from bundle.losses.weighted_ce import IGNORED, class_weights
from bundle.training.displacement import random_displacement
from bundle.training.sampling import random_voxel, sample_at


class RandBSplineDeformd(Randomizable, MapTransform):
    """A turned and elastically deformed patch around a random voxel of the candidate region: one resampling for all.

    Roth 2018, sec. 2.3 and 3.1. The voxel is any that is not ignored, each as likely as the others; it is the middle of
    the patch, which may reach beyond the scan. There images are 0, in whichever unit they have, as tiles of inference
    are extended, and labels are ignored (the authors' code labels them background). The displacement is a cubic
    B-spline over random control values; sec. 2.3 has it uniform within ±4 voxels, sec. 3.1 and the code normal, which
    is done here.

    Args:
        keys: images (linear interpolation) and the label (nearest neighbour), (C, X, Y, Z) on one grid.
        label_key: the key of ``keys`` that holds class indices (1, X, Y, Z), :data:`~bundle.losses.weighted_ce.IGNORED`
            outside the region.
        patch_size: voxels that the network reads, (X, Y, Z) as in the paper.
        control_spacing: voxels between control values.
        sigma: standard deviation of the control values, in voxels; 0 deforms nothing.
        rotate_deg: largest rotation about each axis.
        translate: largest shift along each axis, in voxels; the paper's are 20, which the random middle makes
            superfluous.
        case_weights: whether the label gets a second channel, the weight of each voxel by the classes of the whole
            region (:func:`~bundle.losses.weighted_ce.class_weights`), 0 where it is ignored.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int] = (132, 132, 116),
        control_spacing: float = 32.0,
        sigma: float = 4.0,
        rotate_deg: float = 5.0,
        translate: float = 0.0,
        case_weights: bool = True,
    ) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.patch_size = as_size(patch_size)
        self.control_spacing = control_spacing
        self.sigma = sigma
        self.rotate_deg = rotate_deg
        self.translate = translate
        self.case_weights = case_weights

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        label = torch.as_tensor(d[self.label_key])
        points = self._points(label)
        for key in self.key_iterator(d):
            mode, outside = ("nearest", IGNORED) if key == self.label_key else ("bilinear", 0)
            d[key] = sample_at(torch.as_tensor(d[key]), points, mode, outside)
        if self.case_weights:
            patch = d[self.label_key]
            d[self.label_key] = torch.cat([patch, class_weights(label)[patch.long()]])
        return d

    def _points(self, label: Tensor) -> Tensor:
        """(X, Y, Z, 3) voxel coordinates in the scan of the patch's voxels."""
        axes = [torch.arange(n, dtype=torch.float32) - n // 2 for n in self.patch_size]  # on voxels, if nothing moves
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        offsets += random_displacement(self.R, self.patch_size, self.control_spacing, self.sigma)
        angles = self.R.uniform(-self.rotate_deg, self.rotate_deg, size=3)
        turn = torch.from_numpy(Rotation.from_euler("XYZ", angles, degrees=True).as_matrix()).float()
        shift = self.R.uniform(-self.translate, self.translate, size=3)
        return offsets @ turn.T + torch.from_numpy(self._centre(label) + shift).float()

    def _centre(self, label: Tensor) -> np.ndarray:
        """A voxel that is not ignored, or the middle of a scan that has none."""
        inside = label[0].numpy() != IGNORED
        return random_voxel(inside, self.R) if inside.any() else (np.asarray(inside.shape) - 1) / 2
