"""The intensities of Zhu 2018: mean 0 and standard deviation 1 over the scan."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.preprocess.mean_max import ScaledHU

_SLAB = 32  # rows converted to float at a time, so that a large int16 scan is never copied whole


class ClippedZScore:
    """Hounsfield units clipped, then shifted and scaled to mean 0 and standard deviation 1 over the clipped scan.

    Zhu 2018, sec. 4.1. Air around the patient counts, as in the paper: how much of it there is changes the result.

    Args:
        window_hu: (lowest, highest) Hounsfield unit.
    """

    def __init__(self, window_hu: Sequence[float] = (-100, 240)) -> None:
        lowest, highest = window_hu
        if lowest >= highest:
            raise ValueError(f"a window runs from a lower to a higher Hounsfield unit, got {lowest} to {highest}")
        self.window_hu = (float(lowest), float(highest))

    def __call__(self, image_hu: torch.Tensor) -> torch.Tensor:
        """Return float32 of the shape of ``image_hu`` (1, X, Y, Z), by its own mean and standard deviation."""
        return self.fitted(image_hu)(image_hu)

    def fitted(self, scan_hu: torch.Tensor) -> ScaledHU:
        """Return what the numbers of ``scan_hu`` (1, X, Y, Z) make of any part of it; a constant scan becomes 0."""
        total = squares = 0.0
        for slab in scan_hu.as_subclass(torch.Tensor).split(_SLAB, dim=-3):
            clipped = slab.to(torch.float32).clamp(*self.window_hu)
            total += float(clipped.sum(dtype=torch.float64))
            squares += float(clipped.square().sum(dtype=torch.float64))
        mean = total / scan_hu.numel()
        variance = max(squares / scan_hu.numel() - mean**2, 0.0)
        return ScaledHU(self.window_hu, mean, variance**0.5 or 1.0)
