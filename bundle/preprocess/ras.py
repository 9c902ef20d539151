"""Volumes with their axes in the order of the patient's."""

from __future__ import annotations

from monai.data import MetaTensor
from monai.transforms import Orientation

_ORIENTATION = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))


def to_ras(volume: MetaTensor) -> MetaTensor:
    """Return ``volume`` (C, X, Y, Z) with axes that run to the patient's right, front and head, and the affine to it.

    Axes are swapped and flipped, no value changes; of an oblique scan each axis takes the direction nearest to it.
    """
    return _ORIENTATION(volume)  # type: ignore[return-value]
