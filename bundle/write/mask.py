"""The mask as a NIfTI file on its own grid."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from bundle.files import write_nifti
from bundle.write.case import as_array, foreground_box
from bundle.write.saver import Saver

FILE_NAME = "segmentation.nii.gz"


def write_mask(mask: MetaTensor, path: str | os.PathLike[str]) -> None:
    """Write a (1, X, Y, Z) or (X, Y, Z) mask with RAS+ affine as uint8 NIfTI: what is above 0 becomes 1."""
    array = as_array(mask)
    # NIfTI runs X first: turning the whole array around would take longer than everything else here
    voxels = np.zeros(array.shape, dtype=np.uint8, order="F")
    box = foreground_box(array)
    if box is not None:
        voxels[box] = array[box] > 0
    write_nifti(voxels, np.asarray(mask.affine, dtype=float), path)


class SaveMaskd(Saver):
    """Write the mask to ``<output_dir>/<case>/segmentation.nii.gz`` with :func:`write_mask`.

    It has to be back on the scan's own grid by then (``Invertd``).
    """

    file_name = FILE_NAME
    stage = "write"

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the mask."""
        write_mask(volume, path)
