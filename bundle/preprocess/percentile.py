"""Intensities without a unit, as of MR images, to network input."""

from __future__ import annotations

import numpy as np
import torch


class PercentileWindow:
    """Intensities from one percentile of the image to another, clipped and scaled to [0, 1].

    For images whose intensities have no unit; :class:`~bundle.preprocess.HUWindows` is for CT, and this may stand
    wherever it may. The percentiles are those of what is given: the whole scan, a region or a patch.

    Args:
        lowest: percentile that becomes 0.
        highest: percentile that becomes 1.
    """

    def __init__(self, lowest: float = 1.0, highest: float = 99.0) -> None:
        if not 0 <= lowest < highest <= 100:
            raise ValueError(f"percentiles run from a lower to a higher one of 0 to 100, got {lowest} to {highest}")
        self.lowest = lowest
        self.highest = highest

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return float32 of the shape of ``image`` (..., 1, X, Y, Z), in [0, 1]; zeros if it is constant between."""
        image = image.to(torch.float32)
        # NumPy's, as torch.quantile refuses more than 16 million voxels.
        low, high = np.percentile(image.cpu().numpy(), [self.lowest, self.highest])
        if low == high:
            return torch.zeros_like(image)
        return (image.clamp(low, high) - low) / (high - low)
