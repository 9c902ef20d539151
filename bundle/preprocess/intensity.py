"""Hounsfield units to network input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform


class HUWindows:
    """Hounsfield units to one channel per window, each clipped and scaled to [0, 1].

    A narrow window shows soft tissue; a wide one beside it keeps lung, gas, fat and bone apart.

    Args:
        windows_hu: (lowest, highest) Hounsfield unit of each channel.
    """

    def __init__(self, windows_hu: Sequence[tuple[float, float]] = ((-180, 280), (-1000, 1000))) -> None:
        for lowest, highest in windows_hu:
            if lowest >= highest:
                raise ValueError(f"a window runs from a lower to a higher Hounsfield unit, got {lowest} to {highest}")
        self.windows_hu = tuple((float(lowest), float(highest)) for lowest, highest in windows_hu)

    def __call__(self, image_hu: torch.Tensor) -> torch.Tensor:
        """Return (..., N, X, Y, Z) float32 in [0, 1] for ``image_hu`` (..., 1, X, Y, Z)."""
        image_hu = image_hu.to(torch.float32)
        channels = [(image_hu.clamp(low, high) - low) / (high - low) for low, high in self.windows_hu]
        return torch.cat(channels, dim=-4)


class Intensityd(MapTransform):
    """Dictionary form of what turns Hounsfield units into network input, such as :class:`HUWindows`.

    Args:
        keys: images (1, X, Y, Z) in HU.
        intensity: called with each.
    """

    def __init__(
        self,
        keys: KeysCollection,
        intensity: Callable[[torch.Tensor], torch.Tensor],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.intensity = intensity

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.intensity(d[key])
        return d
