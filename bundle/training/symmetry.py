"""Quarter turns and mirror images of cubic patches."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import Compose, OneOf, RandFlipd, RandRotate90d

_PLANES = ((0, 1), (0, 2), (1, 2))


class RandCubeSymmetryd(Compose):
    """0 to 3 quarter turns in one of the three planes, then a flip of each axis with probability 1/2.

    Zhu 2018, sec. 4.1: "rotation by 90, 180, and 270 degrees and flip over all three axes"; the paper doesn't say how
    they are combined.

    Args:
        keys: cubic images and labels (C, N, N, N).
    """

    def __init__(self, keys: KeysCollection) -> None:
        # With probability 3/4 one of the three turns, so that each of the four is as likely.
        turns = [RandRotate90d(keys, prob=0.75, max_k=3, spatial_axes=plane) for plane in _PLANES]
        super().__init__([OneOf(turns), *(RandFlipd(keys, prob=0.5, spatial_axis=axis) for axis in range(3))])
