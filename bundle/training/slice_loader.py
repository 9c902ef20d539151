"""Batches of real slices: reduced, bent, of other contrast, noise and sharpness each time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.data import DataLoader, Dataset
from monai.transforms import (
    Compose,
    EnsureTyped,
    Rand2DElasticd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RepeatChanneld,
)
from torch.nn.functional import interpolate

from bundle.networks.slice_segmenter import WINDOW_HU
from bundle.read.slices import RealSlice


def slice_loader(
    slices: Sequence[RealSlice],
    size: int,
    batch_size: int,
    seed: int,
    channels: int = 3,
) -> DataLoader:
    """Return a loader of ``image`` (B, channels, X, Y) in [0, 1] and ``label`` (B, 1, X, Y) in {0, 1}, shuffled.

    Deformation, rotation, scale, shift, contrast, noise and blur are drawn anew for each slice: there are few slices,
    and a network soon knows them by heart.

    Args:
        slices: to draw from.
        size: X and Y.
        batch_size: B.
        seed: of order and augmentation.
        channels: copies of the slice, which stand for its neighbours.
    """
    both, modes = ["image", "label"], ["bilinear", "nearest"]
    augmentation = Compose(
        [
            Rand2DElasticd(
                both,
                spacing=(size / 8, size / 8),
                magnitude_range=(0, size / 64),
                prob=0.9,
                rotate_range=0.3,
                scale_range=[0.2, 0.2],
                translate_range=[size / 16] * 2,
                mode=modes,
                padding_mode="border",
            ),
            RandScaleIntensityd("image", factors=0.25, prob=0.5),
            RandShiftIntensityd("image", offsets=0.1, prob=0.5),
            RandGaussianNoised("image", std=0.06, prob=0.3),
            RandGaussianSmoothd("image", sigma_x=(0.3, 1.0), sigma_y=(0.3, 1.0), prob=0.25),
            RepeatChanneld("image", repeats=channels),
            EnsureTyped(both, track_meta=False),
        ]
    )
    items = [{"image": reduced_image(item, size), "label": reduced_label(item, size)} for item in slices]
    dataset = Dataset(items, augmentation)
    # MONAI's loader draws the seeds of the transforms from its generator, too.
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=0, generator=generator)


def reduced_image(item: RealSlice, size: int) -> torch.Tensor:
    """Return float (1, size, size), the window of the papers on NIH Pancreas-CT scaled to [0, 1]."""
    lowest, highest = WINDOW_HU
    return _reduced((item.image_hu().clamp(lowest, highest) - lowest) / (highest - lowest), size)


def reduced_label(item: RealSlice, size: int) -> torch.Tensor:
    """Return float (1, size, size): 1 where at least half of a pixel is pancreas."""
    return (_reduced(item.label.float(), size) >= 0.5).float()


def _reduced(values: torch.Tensor, size: int) -> torch.Tensor:
    return interpolate(values[None], size=(size, size), mode="area")[0]
