"""The intensities of Xue 2019: without their mean, divided by the largest that is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bundle.preprocess.body import body_box

_SLAB = 32  # rows converted to float at a time, so that a large int16 scan is never copied whole


@dataclass(frozen=True)
class ScaledHU:
    """Clip, subtract, divide: Hounsfield units to network input with numbers that are known already.

    Args:
        clip_hu: lowest and highest value, or None.
        mean_hu: becomes 0.
        scale_hu: becomes 1.
    """

    clip_hu: tuple[float, float] | None
    mean_hu: float
    scale_hu: float

    def __call__(self, image_hu: torch.Tensor) -> torch.Tensor:
        """Return (..., X, Y, Z) float32 for ``image_hu`` (..., X, Y, Z)."""
        return (_clipped(image_hu, self.clip_hu) - self.mean_hu) / self.scale_hu

    def as_tensor(self) -> torch.Tensor:
        """Return the four numbers, float64: caches of training hold tensors."""
        clip_hu = self.clip_hu or (-math.inf, math.inf)
        return torch.tensor([*clip_hu, self.mean_hu, self.scale_hu], dtype=torch.float64)

    @classmethod
    def from_tensor(cls, numbers: torch.Tensor) -> ScaledHU:
        """Return what :meth:`as_tensor` gave the numbers of."""
        lowest, highest, mean_hu, scale_hu = numbers.tolist()
        return cls((lowest, highest) if math.isfinite(lowest) else None, mean_hu, scale_hu)


class MeanMax:
    """(x - mean) / max|x - mean|, so that input lies in [-1, 1]; needs the whole scan.

    Xue 2019, sec. III-C. Mean and maximum are those of the abdomen (:func:`~bundle.preprocess.body.body_box`), on
    whichever grid the image has; the paper takes them at 1 mm. Departure: values are clipped before. The paper states
    no window, and without one a single voxel of metal squeezes all soft tissue into a sliver.

    Args:
        clip_hu: lowest and highest Hounsfield unit; None for the paper's literal rule.
    """

    def __init__(self, clip_hu: Sequence[float] | None = (-200, 300)) -> None:
        if clip_hu is not None and not clip_hu[0] < clip_hu[1]:
            raise ValueError(f"clip_hu runs from a lower to a higher Hounsfield unit, got {tuple(clip_hu)}")
        self.clip_hu = None if clip_hu is None else (float(clip_hu[0]), float(clip_hu[1]))

    def __call__(self, image_hu: torch.Tensor) -> torch.Tensor:
        """Return (1, X, Y, Z) float32 in [-1, 1] for ``image_hu`` (1, X, Y, Z), by its own numbers."""
        return self.fitted(image_hu)(image_hu)

    def fitted(self, scan_hu: torch.Tensor) -> ScaledHU:
        """Return what the numbers of ``scan_hu`` (1, X, Y, Z) make of any part of it; a constant scan becomes 0."""
        scan_hu = scan_hu.as_subclass(torch.Tensor)  # slabs of a MetaTensor would copy its meta data
        total, lowest, highest = 0.0, math.inf, -math.inf
        abdomen = body_box(scan_hu[0]).crop(scan_hu)
        for slab in abdomen.split(_SLAB, dim=-3):
            clipped = _clipped(slab, self.clip_hu)
            total += float(clipped.sum(dtype=torch.float64))
            lowest, highest = min(lowest, float(clipped.min())), max(highest, float(clipped.max()))
        mean = total / abdomen.numel()
        return ScaledHU(self.clip_hu, mean, max(highest - mean, mean - lowest) or 1.0)


def _clipped(image_hu: torch.Tensor, clip_hu: tuple[float, float] | None) -> torch.Tensor:
    image_hu = image_hu.to(torch.float32)
    return image_hu if clip_hu is None else image_hu.clamp(*clip_hu)
