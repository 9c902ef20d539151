"""The probability of pancreas, voxel by voxel, as a NIfTI file on the scan's own grid."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.files import write_nifti
from bundle.write.case import as_array, case_folder, foreground_box

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


class SaveProbabilitiesd(MapTransform):
    """Write the probabilities to ``<output_dir>/<case>/probabilities.nii.gz`` with :func:`write_probabilities`.

    They have to be back on the scan's own grid by then (``Invertd``).

    Args:
        keys: probabilities; of several keys the last one stays.
        output_dir: parent of the case folders.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str | os.PathLike[str], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = output_dir

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            write_probabilities(d[key], case_folder(self.output_dir, d, d[key]) / FILE_NAME)
        return d
