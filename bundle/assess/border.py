"""Where a mask touches the border of its scan, so that a part of the organ may be missing."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from bundle.geometry import spacing_of

MIN_AREA_MM2 = 20.0

_SIDES = {"L": "left", "R": "right", "A": "front", "P": "back", "I": "feet", "S": "head"}
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "I": "S", "S": "I"}


def touched_sides(mask: MetaTensor) -> list[str]:
    """Return the sides of the scan (``head``, ``left``, ...) on which the mask (1, X, Y, Z) has 20 mm² or more."""
    array, affine = mask.as_tensor()[0], np.asarray(mask.affine, dtype=float)
    spacing_mm, codes = spacing_of(affine), nib.aff2axcodes(affine)
    sides = []
    for axis, code in enumerate(codes):
        pixel_mm2 = float(np.prod([spacing_mm[other] for other in range(3) if other != axis]))
        for letter, index in ((_OPPOSITE[code], 0), (code, -1)):
            if int((array.select(axis, index) > 0).sum()) * pixel_mm2 >= MIN_AREA_MM2:
                sides.append(_SIDES[letter])
    return sides
