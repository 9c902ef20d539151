"""Intensities by the numbers of the whole scan, in training: read off before the scan is cropped, used at the end."""

from __future__ import annotations

from typing import Protocol

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from bundle.preprocess.mean_max import ScaledHU


class _Fits(Protocol):
    def fitted(self, scan_hu: torch.Tensor) -> ScaledHU: ...


class FitIntensityd(MapTransform):
    """Keep what an intensity reads off the whole scan, as a tensor of four numbers beside the image.

    Cropping, resampling, caching and augmenting then go on in Hounsfield units, and :class:`FittedIntensityd` makes the
    network input of what is left: the order in which a :class:`~bundle.cascade.Stage` does it.

    Args:
        keys: whole scans (1, X, Y, Z) in HU.
        intensity: such as :class:`~bundle.preprocess.mean_max.MeanMax`.
        postfix: appended to the key, for the key of the numbers.
    """

    def __init__(
        self, keys: KeysCollection, intensity: _Fits, postfix: str = "_scale", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.intensity = intensity
        self.postfix = postfix

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            d[f"{key}{self.postfix}"] = self.intensity.fitted(torch.as_tensor(d[key])).as_tensor()
        return d


class FittedIntensityd(MapTransform):
    """Hounsfield units to network input by the numbers that :class:`FitIntensityd` kept, which it takes away.

    Args:
        keys: images (1, X, Y, Z) in HU.
        postfix: as there.
    """

    def __init__(self, keys: KeysCollection, postfix: str = "_scale", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.postfix = postfix

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = ScaledHU.from_tensor(d.pop(f"{key}{self.postfix}"))(d[key])
        return d
