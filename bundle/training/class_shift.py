"""Organs a little brighter or darker than the renderer made them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from scipy.ndimage import gaussian_filter


class RandClassShiftd(RandomizableTransform, MapTransform):
    """Shifts the HU of each labelled class by a random amount of its own; what is background stays.

    Contrast phase, blood flow and fat make the same organs differ in brightness from patient to patient, by more than
    any set of scans shows. A network that meets every combination learns shapes and neighbours instead.

    Args:
        keys: images (C, X, Y, Z) in HU.
        label_key: class indices (1, X, Y, Z) on the images' grid, 0 the background.
        prob: probability that a patch is changed.
        std_hu: standard deviation of the shifts.
        blur: standard deviation in voxels by which the edges of the shifts are blurred, as partial volume blurs them.
    """

    def __init__(
        self, keys: KeysCollection, label_key: str, prob: float = 0.5, std_hu: float = 12.0, blur: float = 0.7
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.label_key = label_key
        self.std_hu = std_hu
        self.blur = blur

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        d = dict(data)
        self.randomize(None)
        if not self._do_transform:
            return d
        label = np.asarray(d[self.label_key][0], dtype=np.int64)
        shifts = self.R.normal(0.0, self.std_hu, size=label.max() + 1).astype(np.float32)
        shifts[0] = 0
        shift_hu = torch.from_numpy(gaussian_filter(shifts[label], self.blur, mode="nearest", truncate=3))
        for key in self.key_iterator(d):
            d[key] = d[key] + shift_hu
        return d
