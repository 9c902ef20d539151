"""Intensities without a unit, as of MR images, to network input."""

from __future__ import annotations

import numpy as np
import torch

from bundle.preprocess.mean_max import ScaledHU


class PercentileWindow:
    """Intensities from one percentile of the scan to another, clipped and scaled to [0, 1].

    For images whose intensities have no unit, wherever :class:`~bundle.preprocess.HUWindows` serves for CT; Cai et al.
    2018, who segment MR images too, don't say how they scale them.

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
        """Return float32 of the shape of ``image`` (1, X, Y, Z), by its own percentiles."""
        return self.fitted(image)(image)

    def fitted(self, scan: torch.Tensor) -> ScaledHU:
        """Return what the percentiles of ``scan`` (1, X, Y, Z) make of any part of it; a constant scan becomes 0."""
        # NumPy's, as torch.quantile refuses more than 16 million voxels.
        low, high = np.percentile(scan.as_subclass(torch.Tensor).cpu().numpy(), [self.lowest, self.highest])
        return ScaledHU((float(low), float(high)), float(low), float(high - low) or 1.0)
