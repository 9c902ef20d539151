"""Whole volumes or regions for training, where the network takes no patches."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import Compose, DivisiblePadd, RandAffined, SpatialPadd
from monai.utils import ensure_tuple

from bundle.preprocess import CropAroundLabeld


class RandWholeVolumed(Compose):
    """The whole volume turned, scaled and shifted; cropped to the label if asked; padded for the network's poolings.

    Sizes vary from scan to scan, so that a batch is one scan. Edges are repeated beyond the border of the volume and in
    the padding at the far ends, as :class:`~bundle.cascade.WholeVolumeInferer` pads.

    Zhao 2019 states no augmentation; these defaults are ours, for some 60 training scans. No mirroring: the sides of a
    body differ. The region of the paper's second stage is ``margin_voxels=10`` (sec. 2.2); the volume should then hold
    more than that, as the tilted label's box is larger than the label's.

    Args:
        keys: images and labels (C, X, Y, Z) on one grid; linear interpolation.
        label_key: the key of ``keys`` that holds label values; nearest neighbour.
        margin_voxels: crop to the box around label value 1, after it was turned, and this margin; None doesn't crop.
        rotate_rad: largest rotation about each axis.
        scale_range: each axis is scaled by 1 - ``scale_range`` to 1 + ``scale_range``.
        shift_voxels: largest shift along each axis.
        divisor: sizes become multiples of it, at least two: see :class:`~bundle.cascade.FittedWindowInferer`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        margin_voxels: int | None = None,
        rotate_rad: float = 0.175,
        scale_range: float = 0.1,
        shift_voxels: float = 8.0,
        divisor: int = 8,
    ) -> None:
        names = ensure_tuple(keys)
        affine = RandAffined(
            names,
            prob=1.0,
            rotate_range=(rotate_rad,) * 3,
            scale_range=(scale_range,) * 3,
            translate_range=(shift_voxels,) * 3,
            mode=["nearest" if name == label_key else "bilinear" for name in names],
            padding_mode="border",
        )
        crop = [] if margin_voxels is None else [CropAroundLabeld(names, label_key, margin_voxels=margin_voxels)]
        at_least = SpatialPadd(names, spatial_size=(2 * divisor,) * 3, mode="edge", method="end")
        super().__init__([affine, *crop, at_least, DivisiblePadd(names, k=divisor, mode="edge", method="end")])
