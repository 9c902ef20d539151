"""Random patches for training that are cut out as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from bundle.cascade.windows import pad_to
from bundle.geometry import Box, as_size
from bundle.training.sampling import random_voxel


class RandTargetPatchd(Randomizable, MapTransform):
    """A patch of the scan's own voxels, anywhere or with a voxel of the target in it.

    Zhu 2018, sec. 4.1: anywhere in the scan for the coarse network, "assured to cover pancreatic voxels" for the fine
    one. The paper doesn't say how: a voxel of the target is drawn, and the patch lies anywhere inside the volume where
    it holds that voxel. Axes shorter than the patch are padded with zeros on both sides, as
    :class:`~bundle.cascade.windows.WindowInferer` does.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid.
        label_key: the one of ``keys`` whose first channel holds label values.
        patch_size: (X, Y, Z) voxels.
        target_prob: probability that the patch must hold the target; without the target in the label it lies anywhere.
        target: the label value.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        target_prob: float = 1.0,
        target: int = 1,
    ) -> None:
        super().__init__(keys)
        self.label_key = label_key
        self.patch_size = as_size(patch_size)
        self.target_prob = target_prob
        self.target = target

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        d = dict(data)
        volumes = {key: pad_to(torch.as_tensor(d[key]), self.patch_size, "constant")[0] for key in self.key_iterator(d)}
        start = self._start(volumes[self.label_key][0])
        box = Box(start, as_size(a + n for a, n in zip(start, self.patch_size)))
        return d | {key: box.crop(volume).clone() for key, volume in volumes.items()}

    def _start(self, label: torch.Tensor) -> tuple[int, int, int]:
        """Return where the patch starts in the volume of ``label`` (X, Y, Z), no smaller than the patch."""
        lowest, highest = [0, 0, 0], [n - p for n, p in zip(label.shape, self.patch_size)]
        if self.R.rand() < self.target_prob:
            organ = label.numpy() == self.target
            if organ.any():
                voxel = random_voxel(organ, self.R)
                lowest = [max(v - p + 1, 0) for v, p in zip(voxel, self.patch_size)]
                highest = [min(v, h) for v, h in zip(voxel, highest)]
        return as_size(self.R.randint(low, high + 1) for low, high in zip(lowest, highest))
