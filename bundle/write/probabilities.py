"""The probability of pancreas, voxel by voxel, as a NIfTI file on the scan's own grid."""

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

FILE_NAME = "probabilities.nii.gz"


def write_probabilities(probabilities: MetaTensor, path: str | os.PathLike[str]) -> None:
    """Write (1, X, Y, Z) or (X, Y, Z) probabilities with RAS+ affine as NIfTI of whole percent, 0 to 100, in uint8.

    Percent, because bytes compress to a fraction of what floating-point numbers need. They are rounded down, so that
    "at least 50" in the file is "at least 0.5" in the tensor.
    """
    array = as_array(probabilities)
    percent = np.zeros(array.shape, dtype=np.uint8, order="F")
    box = foreground_box(array)
    if box is not None:
        percent[box] = (np.clip(array[box], 0, 1) * 100).astype(np.uint8)
    write_nifti(percent, np.asarray(probabilities.affine, dtype=float), path)


class SaveProbabilitiesd(Saver):
    """Write the probabilities to ``<output_dir>/<case>/probabilities.nii.gz`` with :func:`write_probabilities`.

    They have to be back on the scan's own grid by then (``Invertd``).
    """

    file_name = FILE_NAME
    stage = "write"

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the probabilities."""
        write_probabilities(volume, path)
